// Files that break the format's rules: each is one clear error, none a crash.
#include <cstring>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "decovec/io/tensor_files.hpp"
#include "io/temporary_folder.hpp"

namespace decovec {
namespace {

std::string with_size(uint64_t header_size, std::string_view rest) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &header_size, 8);
  return bytes + std::string(rest);
}

class HostileSafetensors : public testing::Test {
 protected:
  std::string refusal_of_bytes(std::string_view bytes) {
    put(file_, bytes);
    const std::string message = message_of([&] { TensorFiles::open(file_); });
    EXPECT_TRUE(message.starts_with(file_.string() + ": ")) << message;
    EXPECT_LT(message.size(), file_.string().size() + 400);
    return message.substr(std::min(message.size(), file_.string().size() + 2));
  }
  std::string refusal(std::string_view header, size_t data_bytes) {
    return refusal_of_bytes(with_size(header.size(), header) + std::string(data_bytes, 'x'));
  }
  TensorFiles opened(std::string_view header, std::string_view data) {
    put(file_, with_size(header.size(), header) + std::string(data));
    return TensorFiles::open(file_);
  }

  TemporaryFolder folder_;
  std::filesystem::path file_ = folder_ / "x.safetensors";
};

TEST_F(HostileSafetensors, HeaderSize) {
  EXPECT_TRUE(has(refusal_of_bytes(""), "expected a safetensors file, got only 0 bytes"));
  EXPECT_TRUE(has(refusal_of_bytes("1234567"), "got only 7 bytes"));
  EXPECT_TRUE(has(refusal_of_bytes(with_size(0, "")), "begins with '{'"));
  EXPECT_TRUE(has(refusal_of_bytes(with_size(3, "{}")), "the header ends at byte 11, but the file holds 10"));
  EXPECT_TRUE(has(refusal_of_bytes(with_size(100'000'000, "{}")), "is the file truncated?"));
  for (const uint64_t size : {uint64_t{100'000'001}, uint64_t{1} << 63, ~uint64_t{0}, ~uint64_t{0} - 7})
    EXPECT_TRUE(has(refusal_of_bytes(with_size(size, "{}")), "a header of at most 100000000 bytes"));
  EXPECT_TRUE(has(refusal_of_bytes(R"(<!DOCTYPE html>)"), "a header of at most"));
}

TEST_F(HostileSafetensors, HeaderText) {
  EXPECT_TRUE(has(refusal(" {}", 0), "begins with '{'"));
  EXPECT_TRUE(has(refusal("[]", 0), "begins with '{'"));
  EXPECT_TRUE(has(refusal("{", 0), "header: parse error"));
  EXPECT_TRUE(has(refusal(std::string("{}\0", 3), 0), "header: parse error"));
  EXPECT_TRUE(has(refusal("{\"\xff\":1}", 0), "UTF-8"));
  std::string deep = "{\"a\":";
  for (int i = 0; i < 100'000; ++i) deep += "[";
  EXPECT_TRUE(has(refusal(deep, 0), "nested deeper than 64 levels"));
  EXPECT_TRUE(opened("{}      ", "").names().empty());
}

TEST_F(HostileSafetensors, DuplicateKeys) {
  const std::string a = R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  EXPECT_TRUE(has(refusal("{" + a + "," + a + "}", 1), "the key \"a\" appears twice"));
  EXPECT_TRUE(
      has(refusal(R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1), "\"dtype\""));
  EXPECT_TRUE(has(refusal(R"({"__metadata__":{},"__metadata__":{}})", 0), "\"__metadata__\" appears twice"));
  EXPECT_TRUE(has(refusal(R"({"__metadata__":{"k":"1","k":"2"}})", 0), "\"k\" appears twice"));
}

TEST_F(HostileSafetensors, Metadata) {
  EXPECT_TRUE(has(refusal(R"({"__metadata__":1})", 0), "'__metadata__': expected an object, got 1"));
  EXPECT_TRUE(
      has(refusal(R"({"__metadata__":{"k":1}})", 0), "'__metadata__': \"k\": expected a string, got 1"));
  EXPECT_TRUE(has(refusal(R"({"__metadata__":{"k":null}})", 0), "expected a string"));
}

TEST_F(HostileSafetensors, Entries) {
  EXPECT_TRUE(has(refusal(R"({"a":1})", 0), "\"a\": expected a JSON object, got 1"));
  EXPECT_TRUE(has(refusal(R"({"a":{"shape":[1],"data_offsets":[0,1]}})", 1), "'dtype' is missing"));
  EXPECT_TRUE(has(refusal(R"({"a":{"dtype":"F31","shape":[1],"data_offsets":[0,1]}})", 1),
                  "\"a\": unknown dtype \"F31\""));
  EXPECT_TRUE(
      has(refusal(R"({"a":{"dtype":"u8","shape":[1],"data_offsets":[0,1]}})", 1), "unknown dtype \"u8\""));
  for (const char* shape :
       {"null", "1", "{}", "[-1]", "[1.0]", "[\"1\"]", "[[1]]", "[18446744073709551615]", "[1e3]"})
    EXPECT_TRUE(
        has(refusal(fmt::format(R"({{"a":{{"dtype":"U8","shape":{},"data_offsets":[0,1]}}}})", shape), 1),
            "'shape': expected "))
        << shape;
  std::string ones = "[1";
  for (int i = 0; i < 63; ++i) ones += ",1";
  const auto shaped = [](const std::string& shape) {
    return fmt::format(R"({{"a":{{"dtype":"BOOL","shape":{},"data_offsets":[0,1]}}}})", shape);
  };
  EXPECT_EQ(opened(shaped(ones + "]"), "x").tensor("a").dim(), 64);
  EXPECT_TRUE(has(refusal(shaped(ones + ",1]"), 1), "expected at most 64 dimensions, got 65"));
  for (const char* offsets : {"null", "1", "[]", "[0]", "[0,1,1]", "[1,0]", "[-1,0]", "[0.0,1]", "[\"0\",1]",
                              "[0,18446744073709551615]", "[18446744073709551615,0]"})
    EXPECT_TRUE(
        has(refusal(fmt::format(R"({{"a":{{"dtype":"U8","shape":[1],"data_offsets":{}}}}})", offsets), 1),
            "'data_offsets': expected [begin, end]"))
        << offsets;
}

TEST_F(HostileSafetensors, Sizes) {
  const auto sized = [&](const char* dtype, const char* shape, int64_t bytes, size_t data) {
    return refusal(
        fmt::format(R"({{"a":{{"dtype":"{}","shape":{},"data_offsets":[0,{}]}}}})", dtype, shape, bytes),
        data);
  };
  EXPECT_TRUE(has(sized("F32", "[2]", 7, 7), "F32 of the shape [2] takes 8 bytes, got 7"));
  EXPECT_TRUE(has(sized("F32", "[]", 0, 0), "takes 4 bytes, got 0"));
  EXPECT_TRUE(has(sized("F32", "[0,2]", 4, 4), "takes 0 bytes, got 4"));
  EXPECT_TRUE(has(sized("F4", "[3]", 1, 1), "do not fill whole bytes"));
  EXPECT_TRUE(has(sized("F6_E2M3", "[2]", 2, 2), "do not fill whole bytes"));
  // Products that come back to the right size when they overflow.
  EXPECT_TRUE(has(sized("U8", "[4294967296,4294967296]", 0, 0), "is too large"));
  EXPECT_TRUE(has(sized("F32", "[4611686018427387905]", 4, 4), "is too large"));
  EXPECT_TRUE(has(sized("U8", "[0,9223372036854775807,9223372036854775807]", 0, 0), "is too large"));
  EXPECT_TRUE(has(sized("U8", "[9223372036854775807]", 9223372036854775807, 0), "is the file truncated?"));
}

TEST_F(HostileSafetensors, Layout) {
  const auto two = [](int begin_a, int end_a, int begin_b, int end_b) {
    return fmt::format(
        R"({{"a":{{"dtype":"U8","shape":[{}],"data_offsets":[{},{}]}},"b":{{"dtype":"U8","shape":[{}],"data_offsets":[{},{}]}}}})",
        end_a - begin_a, begin_a, end_a, end_b - begin_b, begin_b, end_b);
  };
  EXPECT_EQ(opened(two(2, 4, 0, 2), "wxyz").tensor("a")[0].item<int>(), 'y');
  EXPECT_EQ(opened(two(0, 2, 2, 2), "wx").shape("b"), std::vector<int64_t>{0});
  EXPECT_TRUE(has(refusal(two(0, 2, 3, 4), 4), "a hole between the tensors' data before \"b\""));
  EXPECT_TRUE(has(refusal(two(1, 2, 2, 4), 4), "a hole between the tensors' data before \"a\""));
  EXPECT_TRUE(has(refusal(two(0, 2, 1, 4), 4), "an overlap between the tensors' data before \"b\""));
  EXPECT_TRUE(has(refusal(two(0, 2, 0, 2), 2), "an overlap between the tensors' data before \"b\""));
  EXPECT_TRUE(has(refusal(two(0, 2, 2, 4), 5), "1 bytes after the last tensor's data"));
  EXPECT_TRUE(
      has(refusal(two(0, 2, 2, 4), 3), "\"b\": its data ends at byte 4, but the file holds 3 bytes of data"));
  EXPECT_TRUE(has(refusal("{}", 1), "1 bytes after the last tensor's data"));
}

TEST_F(HostileSafetensors, UnalignedDataIsCopied) {
  const float value = 1.5f;
  std::string data = "xxx" + std::string(reinterpret_cast<const char*>(&value), 4);
  const TensorFiles file = opened(
      R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"F32","shape":[1],"data_offsets":[3,7]}})",
      data);
  const at::Tensor tensor = file.tensor("b");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.data_ptr()) % 4, 0u);
  EXPECT_EQ(tensor.item<float>(), 1.5f);
}

TEST_F(HostileSafetensors, BoolsBecomeZeroOrOne) {
  const at::Tensor tensor =
      opened(R"({"a":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}})", std::string("\0\1\xff", 3))
          .tensor("a");
  EXPECT_TRUE(at::equal(tensor.view(at::kByte), at::tensor({0, 1, 1}, at::kByte)));
}

TEST_F(HostileSafetensors, AFileThatShrinksWhileOpen) {
  const TensorFiles file = opened(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "wxyz");
  std::filesystem::resize_file(file_, 20);
  EXPECT_TRUE(has(message_of([&] { file.tensor("a"); }), "x.safetensors: the file shrank"));
}

TEST_F(HostileSafetensors, EveryCut) {
  const std::string bytes = bytes_of(test_data() / "io" / "mixed.safetensors");
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(refusal_of_bytes(bytes.substr(0, size)).empty());
  EXPECT_FALSE(refusal_of_bytes(bytes + "x").empty());
}

TEST_F(HostileSafetensors, EveryChangedByte) {
  const std::string bytes = bytes_of(test_data() / "io" / "mixed.safetensors");
  int64_t read = 0;
  for (size_t at = 0; at < bytes.size(); ++at)
    for (const char byte : {'\0', '\xff', '9', '{', '"', ','}) {
      std::string changed = bytes;
      changed[at] = byte;
      put(file_, changed);
      try {
        const TensorFiles file = TensorFiles::open(file_);
        for (const std::string& name : file.names()) read += file.tensor(name).clone().numel();
      } catch (const std::runtime_error& error) {
        EXPECT_TRUE(has(error.what(), "x.safetensors: "));
      }
    }
  EXPECT_GT(read, 0);
}

class HostileIndex : public HostileSafetensors {
 protected:
  std::string refusal_of_index(std::string_view text) {
    put(folder_ / "model.safetensors.index.json", text);
    return message_of([&] { TensorFiles::open(folder_.path()); });
  }
};

TEST_F(HostileIndex, StaysInTheFolder) {
  for (const char* name :
       {"/etc/passwd", "../x.safetensors", "inner/x.safetensors", "..", ".", "", "a\\u0000b"})
    EXPECT_TRUE(has(refusal_of_index(fmt::format(R"({{"weight_map":{{"a":"{}"}}}})", name)),
                    "'weight_map': \"a\": expected the name of a file in the same folder, got "))
        << name;
  EXPECT_TRUE(
      has(refusal_of_index(R"({"weight_map":{"a":1}})"), "expected the name of a file in the same folder"));
}

TEST_F(HostileIndex, NamesWhatIsMissing) {
  opened(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x");
  EXPECT_TRUE(has(refusal_of_index(R"({})"), "'weight_map' is missing"));
  EXPECT_TRUE(has(refusal_of_index(R"({"weight_map":[]})"), "'weight_map': expected an object"));
  EXPECT_TRUE(has(refusal_of_index(R"({"weight_map":{"a":"y.safetensors","b":"y.safetensors"}})"),
                  "the shard \"y.safetensors\" is missing; 2 of its tensors are wanted"));
  EXPECT_TRUE(has(refusal_of_index(R"({"weight_map":{"a":"x.safetensors","b":"x.safetensors"}})"),
                  "x.safetensors: no tensor \"b\", which model.safetensors.index.json places in it"));
  EXPECT_TRUE(has(refusal_of_index(R"({"metadata":1,"weight_map":{}})"), "'metadata': expected an object"));
  EXPECT_TRUE(
      has(refusal_of_index(R"({"weight_map":{"a":"x.safetensors","a":"x.safetensors"}})"), "appears twice"));
  std::filesystem::create_directory(folder_ / "folder");
  EXPECT_TRUE(has(refusal_of_index(R"({"weight_map":{"a":"folder"}})"), "folder: expected a regular file"));
}

}  // namespace
}  // namespace decovec
