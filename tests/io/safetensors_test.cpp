#include "decovec/io/safetensors.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <thread>

#include <ATen/ATen.h>

#include "io/temporary_folder.hpp"

namespace decovec {
namespace {

using Names = std::set<std::string>;

// The tensors of tests/data/safetensors_reference.py, in another order.
std::vector<NamedTensor> reference_tensors() {
  const at::Tensor values = at::tensor({0.5, -1.25, 3.0, 40.0, -5.5, 0.0}, at::kDouble);
  const at::Tensor integers = at::tensor({1, -2, 3, 100, -128, 127}, at::kInt);
  return {{"scalar", at::scalar_tensor(2.5f)},
          {"名前.weight", at::ones({1, 1, 1})},
          {"uint8", at::tensor({0, 7, 255}, at::kByte)},
          {"empty", at::empty({0, 4})},
          {"float64", values.view({3, 2})},
          {"float32", values.view({2, 3}).to(at::kFloat)},
          {"float16", values.to(at::kHalf)},
          {"bfloat16", values.to(at::kBFloat16).view({1, 6})},
          {"bool", at::tensor({1, 0, 1}).to(at::kBool)},
          {"int64", at::tensor({int64_t{1} << 62, -(int64_t{1} << 62)}, at::kLong)},
          {"int32", integers},
          {"int16", integers.to(at::kShort)},
          {"int8", integers.to(at::kChar)}};
}

void expect_equal(const at::Tensor& got, const at::Tensor& expected, const std::string& name) {
  ASSERT_EQ(got.scalar_type(), expected.scalar_type()) << name;
  ASSERT_EQ(got.sizes(), expected.sizes()) << name;
  EXPECT_TRUE(at::equal(got, expected)) << name;
}

std::filesystem::path reference(const char* name) { return test_data() / "io" / name; }

TEST(Safetensors, ReadsWhatTheFormatsOwnLibraryWrote) {
  const Safetensors file = Safetensors::open(reference("mixed.safetensors"));
  const std::vector<NamedTensor> expected = reference_tensors();
  EXPECT_EQ(file.names().size(), expected.size());
  for (const NamedTensor& named : expected) {
    ASSERT_TRUE(file.contains(named.name)) << named.name;
    EXPECT_EQ(file.shape(named.name), named.tensor.sizes().vec()) << named.name;
    expect_equal(file.tensor(named.name), named.tensor, named.name);
  }
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}, {"note", "größer"}}));
  EXPECT_EQ(file.path(), reference("mixed.safetensors"));
}

TEST(Safetensors, NamesAreSorted) {
  const std::vector<std::string> names = Safetensors::open(reference("mixed.safetensors")).names();
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
}

TEST(Safetensors, TensorsLieInOneMappingThatTheyKeepAlive) {
  at::Tensor tensor;
  {
    const Safetensors file = Safetensors::open(reference("mixed.safetensors"));
    const Safetensors copy = file;
    tensor = file.tensor("float32");
    EXPECT_EQ(tensor.data_ptr(), copy.tensor("float32").data_ptr());
    EXPECT_EQ(static_cast<char*>(tensor.data_ptr()) - static_cast<char*>(copy.tensor("float64").data_ptr()),
              48);
  }
  EXPECT_EQ(tensor.sum().item<double>(), 36.75);
}

TEST(Safetensors, ThreadsReadAtOnce) {
  const Safetensors file = Safetensors::open(reference("mixed.safetensors"));
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int round = 0; round < 100; ++round)
        for (const std::string& name : file.names()) file.tensor(name);
    });
  for (std::thread& thread : threads) thread.join();
}

TEST(Safetensors, NamesWhatIsNotThere) {
  const Safetensors file = Safetensors::open(reference("mixed.safetensors"));
  EXPECT_FALSE(file.contains("other"));
  for (const std::string& message :
       {message_of([&] { file.tensor("other"); }), message_of([&] { file.shape("other"); })})
    EXPECT_TRUE(has(message, "mixed.safetensors: no tensor \"other\""));
  EXPECT_TRUE(
      has(message_of([] { Safetensors::open("none.safetensors"); }), "none.safetensors: cannot open"));
}

TEST(Safetensors, OpensFilesWithDtypesItCannotHold) {
  const Safetensors file = Safetensors::open(reference("unsupported.safetensors"));
  EXPECT_EQ(file.shape("uint16"), std::vector<int64_t>{3});
  EXPECT_EQ(file.tensor("float32").item<float>(), 1.5f);
  for (const auto& [name, dtype] :
       {std::pair{"uint16", "U16"}, {"float8", "F8_E4M3"}, {"complex64", "C64"}}) {
    const std::string message = message_of([&] { file.tensor(name); });
    EXPECT_TRUE(has(message,
                    fmt::format("\"{}\": dtype {} is not supported, expected one of I64, F64", name, dtype)));
  }
}

TEST(Safetensors, ReadsShardsThroughTheIndex) {
  for (const char* path : {"sharded", "sharded/model.safetensors.index.json"}) {
    const Safetensors file = Safetensors::open(reference(path));
    EXPECT_EQ(file.names(),
              (std::vector<std::string>{"a", "b"}));  // not "ignored", which the index does not name
    expect_equal(file.tensor("a"), at::arange(4, at::kFloat), "a");
    expect_equal(file.tensor("b"), at::arange(6, at::kBFloat16).view({2, 3}), "b");
    EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"source", "test"}}));
    EXPECT_EQ(file.path().filename(), "model.safetensors.index.json");
  }
}

TEST(Safetensors, PrefersTheSingleFileOfAFolder) {
  const TemporaryFolder folder;
  for (const auto& file : std::filesystem::directory_iterator(reference("sharded")))
    std::filesystem::copy(file, folder.path());
  EXPECT_EQ(Safetensors::open(folder.path()).names().size(), 2u);
  std::filesystem::copy(reference("mixed.safetensors"), folder / "model.safetensors");
  EXPECT_EQ(Safetensors::open(folder.path()).names().size(), 13u);
}

TEST(Safetensors, SaysWhatAFolderLacks) {
  const TemporaryFolder folder;
  const auto refusal = [&] { return message_of([&] { Safetensors::open(folder.path()); }); };
  EXPECT_TRUE(has(refusal(), "expected model.safetensors or model.safetensors.index.json in the folder"));
  put(folder / "pytorch_model.bin", "x");
  EXPECT_TRUE(has(refusal(), "it holds pytorch_model.bin, convert that to safetensors"));
}

TEST(WriteSafetensors, WritesTheBytesOfTheFormatsOwnLibrary) {
  const TemporaryFolder folder;
  std::vector<NamedTensor> tensors = reference_tensors();
  const SafetensorsWriteOptions options{.metadata = {{"note", "größer"}, {"format", "pt"}}};
  const std::string expected = bytes_of(reference("mixed.safetensors"));
  write_safetensors(folder / "one.safetensors", tensors, options);
  EXPECT_EQ(bytes_of(folder / "one.safetensors"), expected);
  std::reverse(tensors.begin(), tensors.end());
  write_safetensors(folder / "two.safetensors", tensors, options);
  EXPECT_EQ(bytes_of(folder / "two.safetensors"), expected);
  EXPECT_EQ(folder.names(), (Names{"one.safetensors", "two.safetensors"}));
}

TEST(WriteSafetensors, TakesViewsAndParameters) {
  const TemporaryFolder folder;
  const at::Tensor base = at::arange(24, at::kFloat).view({4, 6});
  const std::vector<NamedTensor> tensors = {{"transposed", base.t()},
                                            {"column", base.select(1, 2)},
                                            {"strided", base.slice(0, 0, 4, 2).slice(1, 1, 6, 3)},
                                            {"expanded", base.select(0, 0).expand({3, 6})},
                                            {"parameter", base.clone().requires_grad_()}};
  write_safetensors(folder / "x.safetensors", tensors);
  const Safetensors file = Safetensors::open(folder / "x.safetensors");
  for (const NamedTensor& named : tensors) expect_equal(file.tensor(named.name), named.tensor, named.name);
  EXPECT_FALSE(file.tensor("parameter").requires_grad());
}

TEST(WriteSafetensors, WritesNoTensors) {
  const TemporaryFolder folder;
  write_safetensors(folder / "x.safetensors", {}, {.metadata = {}});
  EXPECT_EQ(bytes_of(folder / "x.safetensors"), std::string("\x08\0\0\0\0\0\0\0{}      ", 16));
  EXPECT_TRUE(Safetensors::open(folder / "x.safetensors").names().empty());
}

TEST(WriteSafetensors, RejectsWhatTheFormatCannotHold) {
  const TemporaryFolder folder;
  const auto refusal = [&](std::vector<NamedTensor> tensors,
                           std::map<std::string, std::string> metadata = {}) {
    return message_of<std::invalid_argument>(
        [&] { write_safetensors(folder / "x.safetensors", tensors, {.metadata = metadata}); });
  };
  const at::Tensor tensor = at::ones({2});
  EXPECT_TRUE(has(refusal({{"a", tensor}, {"b", tensor}, {"a", tensor}}), "tensor \"a\": given twice"));
  EXPECT_TRUE(has(refusal({{"__metadata__", tensor}}), "keeps this name for itself"));
  EXPECT_TRUE(has(refusal({{"\xff", tensor}}), "the name is not UTF-8"));
  EXPECT_TRUE(has(refusal({{"a", {}}}), "tensor \"a\": undefined"));
  EXPECT_TRUE(has(refusal({{"a", tensor.to(at::kComplexFloat)}}),
                  "tensor \"a\": dtype ComplexFloat is not supported"));
  EXPECT_TRUE(has(refusal({{"a", tensor.to_sparse()}}), "expected a dense tensor"));
  EXPECT_TRUE(has(refusal({{"a", tensor}}, {{"note", "\xff"}}), "the metadata is not UTF-8"));
  EXPECT_TRUE(folder.names().empty());
}

TEST(WriteSafetensors, NamesTheMissingFolder) {
  const TemporaryFolder folder;
  EXPECT_TRUE(has(message_of([&] { write_safetensors(folder / "none/x.safetensors", {}); }), "No such file"));
}

TEST(WriteSafetensorsFolder, WritesOneFile) {
  const TemporaryFolder folder;
  write_safetensors_folder(folder.path(), {{"a", at::ones({2})}, {"b", at::ones({2})}},
                           {.max_shard_bytes = 16});
  EXPECT_EQ(folder.names(), Names{"model.safetensors"});
  EXPECT_EQ(Safetensors::open(folder.path()).names(), (std::vector<std::string>{"a", "b"}));
}

TEST(WriteSafetensorsFolder, SplitsIntoShards) {
  const TemporaryFolder folder;
  const std::vector<NamedTensor> tensors = {{"d", at::full({2}, 4.0)},
                                            {"a", at::full({2}, 1.0)},
                                            {"b", at::full({2}, 2.0)},
                                            {"c", at::full({5}, 3.0)},
                                            {"e", at::empty({0})}};
  write_safetensors_folder(folder.path(), tensors, {.max_shard_bytes = 16});
  EXPECT_EQ(folder.names(), (Names{"model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                                   "model-00003-of-00003.safetensors", "model.safetensors.index.json"}));
  const auto names_in = [&](const char* shard) { return Safetensors::open(folder / shard).names(); };
  EXPECT_EQ(names_in("model-00001-of-00003.safetensors"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(names_in("model-00002-of-00003.safetensors"), (std::vector<std::string>{"c"}));
  EXPECT_EQ(names_in("model-00003-of-00003.safetensors"), (std::vector<std::string>{"d", "e"}));
  EXPECT_EQ(bytes_of(folder / "model.safetensors.index.json"), R"({
  "metadata": {
    "total_size": 44,
    "format": "pt"
  },
  "weight_map": {
    "a": "model-00001-of-00003.safetensors",
    "b": "model-00001-of-00003.safetensors",
    "c": "model-00002-of-00003.safetensors",
    "d": "model-00003-of-00003.safetensors",
    "e": "model-00003-of-00003.safetensors"
  }
}
)");
  const Safetensors file = Safetensors::open(folder.path());
  EXPECT_EQ(file.names().size(), 5u);
  for (const NamedTensor& named : tensors) expect_equal(file.tensor(named.name), named.tensor, named.name);
}

TEST(WriteSafetensorsFolder, DoesNotMixWithWeightsThatAreThere) {
  const TemporaryFolder folder;
  write_safetensors_folder(folder.path(), {{"a", at::ones({2})}});
  EXPECT_TRUE(has(message_of([&] {
                    write_safetensors_folder(folder.path(), {{"b", at::ones({2})}});
                  }),
                  "model.safetensors: already exists"));
  EXPECT_EQ(Safetensors::open(folder.path()).names(), std::vector<std::string>{"a"});
}

TEST(WriteSafetensorsFolder, LeavesNothingWhenAShardFails) {
  const TemporaryFolder folder;
  std::string message;
  {
    const FileSizeLimit limit(3000);
    message = message_of([&] {
      write_safetensors_folder(folder.path(), {{"a", at::ones({100})}, {"b", at::ones({1000})}},
                               {.max_shard_bytes = 1000});
    });
  }
  EXPECT_TRUE(has(message, "model-00002-of-00002.safetensors: cannot write: File too large"));
  EXPECT_TRUE(folder.names().empty());
}

}  // namespace
}  // namespace decovec
