// Zip files and pickles made to do harm: each is one clear error, none a crash.
#include <cstring>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "io/pickle.hpp"
#include "io/temporary_folder.hpp"
#include "io/torch_file.hpp"
#include "io/zip_directory.hpp"
#include "io/zip_file.hpp"

namespace decovec {
namespace {

using test::le;
using test::zip;
using test::ZipEntry;
using test::ZipOptions;

std::string refusal_of_zip(const std::string& file) {
  const std::string message = message_of([&] { read_zip_directory(file, "x.bin"); });
  EXPECT_TRUE(message.starts_with("x.bin: ")) << message;
  return message;
}

TEST(ZipDirectory, FindsStoredEntries) {
  for (const bool zip64 : {false, true}) {
    const std::string file = zip({{"a/b", "12345"}, {"c", ""}, {"d", "xyz"}}, {.zip64 = zip64});
    const ZipRecords records = read_zip_directory(file, "x.bin");
    ASSERT_EQ(records.size(), 3u);
    const auto bytes = [&](const char* name) {
      const ZipRecord& record = records.at(name);
      return file.substr(static_cast<size_t>(record.begin), static_cast<size_t>(record.size));
    };
    EXPECT_EQ(bytes("a/b"), "12345");
    EXPECT_EQ(bytes("c"), "");
    EXPECT_EQ(bytes("d"), "xyz");
  }
}

TEST(ZipDirectory, RefusesWhatIsCutOrChanged) {
  const std::vector<ZipEntry> entries = {{"a", "12345"}, {"b", "678"}};
  for (const bool zip64 : {false, true}) {
    const std::string file = zip(entries, {.zip64 = zip64});
    for (size_t size = 0; size < file.size(); ++size) refusal_of_zip(file.substr(0, size));
    for (size_t size = 1; size < file.size(); ++size) refusal_of_zip(file.substr(size));
    const auto with = [&](ZipOptions options) {
      options.zip64 = zip64;
      return refusal_of_zip(zip(entries, options));
    };
    EXPECT_TRUE(has(with({.method = 8}), "compressed"));
    EXPECT_TRUE(has(with({.flags = 1}), "encrypted"));
    EXPECT_TRUE(has(with({.disk = 1}), "lies elsewhere"));
    EXPECT_TRUE(has(with({.offset_shift = 1}), "not where the directory says"));
    EXPECT_TRUE(has(with({.offset_shift = 1000}), "leaves its place"));
    EXPECT_TRUE(has(with({.size_shift = 1}), "leaves its place"));
    EXPECT_TRUE(has(with({.size_shift = 1000}), "leaves its place"));
    EXPECT_TRUE(has(with({.entries_shift = 1}), "not a whole zip file"));
    EXPECT_TRUE(has(with({.entries_shift = 60000}), "too short for its entries"));
    EXPECT_TRUE(has(with({.comment = "x"}), "no directory at its end"));
    EXPECT_TRUE(has(with({.local_name = "c"}), "another name"));
    EXPECT_TRUE(has(with({.after_directory = "x"}), "another size"));
  }
  const auto huge = [&](uint64_t offset, uint64_t size) {
    return refusal_of_zip(zip({{"a", "12345"}}, {.zip64 = true, .offset_shift = offset, .size_shift = size}));
  };
  for (const uint64_t value : {~uint64_t{0}, uint64_t{1} << 63, ~uint64_t{0} - 30, ~uint64_t{0} - 5}) {
    EXPECT_TRUE(has(huge(value, 0), "not a whole zip file"));
    EXPECT_TRUE(has(huge(0, value - 5), "not a whole zip file"));  // which makes the size of 5 `value`
  }
  EXPECT_TRUE(has(refusal_of_zip(zip({{"a", "1"}, {"a", "2"}})), "same name"));
}

// Two entries of the directory that mean the same bytes.
TEST(ZipDirectory, RefusesOverlaps) {
  std::string file = zip({{"a", std::string(60, 'x')}, {"a", ""}});
  // The second entry's header moves into the first entry's bytes.
  const std::string header = file.substr(31 + 60, 31);
  std::memcpy(file.data() + 40, header.data(), header.size());
  const size_t directory = file.rfind("PK\1\2");
  std::memcpy(file.data() + directory + 42, le<uint32_t>(40).data(), 4);
  file[directory + 46] = file[40 + 30] = 'b';
  EXPECT_TRUE(has(refusal_of_zip(file), "overlap"));
}

// Opcodes of a pickle, as pickletools names them.
std::string text(const std::string& value) {
  return std::string("X").append(le(static_cast<uint32_t>(value.size()))).append(value);
}
std::string integer(int64_t value) { return "\x8a\x08" + le(value); }
const std::string kProto = "\x80\x02", kTensor = "ctorch._utils\n_rebuild_tensor_v2\n",
                  kHooks = "ccollections\nOrderedDict\n)R";

std::string tuple(const std::vector<int64_t>& numbers) {
  std::string program = "(";
  for (const int64_t number : numbers) program += integer(number);
  return program + "t";
}

std::string storage(int64_t elements, const std::string& kind = "FloatStorage",
                    const std::string& key = "0") {
  return std::string("(").append(text("storage")) + "ctorch\n" + kind + "\n" + text(key) + text("cpu") +
         integer(elements) + "tQ";
}

std::string tensor(const std::string& storage, int64_t offset, const std::vector<int64_t>& shape,
                   const std::vector<int64_t>& strides) {
  return kTensor + "(" + storage + integer(offset) + tuple(shape) + tuple(strides) + "\x89" + kHooks + "tR";
}

// A file of one tensor "w" and a storage "0" of 6 floats.
std::string file_of(const std::string& program) {
  return zip({{"archive/data.pkl", program}, {"archive/data/0", std::string(24, 'x')}});
}
std::string file_with(const std::string& tensor_program) {
  return file_of(kProto + "}" + text("w") + tensor_program + "s.");
}

std::string refusal(const std::string& file) {
  const std::string message = message_of([&] { parse_torch_file(file, "x.bin"); });
  EXPECT_TRUE(message.starts_with("x.bin: ")) << message;
  EXPECT_LT(message.size(), 500u);
  return message;
}

TEST(HostileTorchFile, TheFileThatTheOthersBreakIsRead) {
  const TensorEntries entries = parse_torch_file(file_with(tensor(storage(6), 1, {2, 2}, {3, 1})), "x.bin");
  ASSERT_EQ(entries.size(), 1u);
  const TensorEntry& entry = entries.at("w");
  EXPECT_EQ(entry.dtype->name, "F32");
  EXPECT_EQ(entry.shape, (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(entry.strides, (std::vector<int64_t>{3, 1}));
  EXPECT_EQ(entry.end - entry.begin, 20);  // elements 1 to 5
}

TEST(HostileTorchFile, TensorsThatLeaveTheirStorage) {
  const auto with = [](int64_t offset, const std::vector<int64_t>& shape,
                       const std::vector<int64_t>& strides) {
    return refusal(file_with(tensor(storage(6), offset, shape, strides)));
  };
  constexpr int64_t kMost = INT64_MAX, kLeast = INT64_MIN;
  EXPECT_TRUE(
      has(with(0, {7}, {1}), "\"w\": sizes [7] with strides [1] from element 0 leave its storage of 6"));
  EXPECT_TRUE(has(with(1, {6}, {1}), "leave its storage"));
  EXPECT_TRUE(has(with(0, {2, 3}, {4, 1}), "leave its storage"));
  EXPECT_TRUE(has(with(6, {}, {}), "leave its storage"));
  EXPECT_TRUE(has(with(7, {0}, {1}), "leave its storage"));
  EXPECT_TRUE(has(with(-1, {1}, {1}), "leave its storage"));
  EXPECT_TRUE(has(with(kMost, {1}, {1}), "leave its storage"));
  EXPECT_TRUE(has(with(kMost, {2}, {1}), "leave its storage"));
  EXPECT_TRUE(has(with(kLeast, {0}, {1}), "leave its storage"));
  EXPECT_TRUE(has(with(0, {2, 2}, {kMost, kMost}), "leave its storage"));
  EXPECT_TRUE(has(with(0, {int64_t{1} << 32, int64_t{1} << 32}, {0, 0}), "leave its storage"));
  EXPECT_TRUE(has(with(0, {7}, {0}), "leave its storage"));  // the same element seven times
  EXPECT_TRUE(has(with(0, {kMost}, {0}), "leave its storage"));
  EXPECT_TRUE(has(with(5, {2}, {-1}), "0 or more, got -1"));
  EXPECT_TRUE(has(with(0, {-1}, {1}), "0 or more, got -1"));
  EXPECT_TRUE(has(with(0, {2}, {1, 1}), "as many strides as sizes, got 2 and 1"));
  EXPECT_TRUE(
      has(with(0, std::vector<int64_t>(65, 1), std::vector<int64_t>(65, 1)), "at most 64 dimensions"));
}

TEST(HostileTorchFile, StoragesThatLeaveTheirEntry) {
  const auto with = [](const std::string& storage) {
    return refusal(file_with(tensor(storage, 0, {1}, {1})));
  };
  EXPECT_TRUE(has(with(storage(7)), "\"w\": its storage of 7 elements of F32 has only 24 bytes"));
  EXPECT_TRUE(has(with(storage(4, "DoubleStorage")), "only 24 bytes"));
  EXPECT_TRUE(has(with(storage(-1)), "only 24 bytes"));
  EXPECT_TRUE(has(with(storage(INT64_MAX)), "only 24 bytes"));
  EXPECT_TRUE(has(with(storage(1, "FloatStorage", "1")), "its storage \"1\" is not in the file"));
  EXPECT_TRUE(has(with(storage(1, "FloatStorage", "../data.pkl")), "is not in the file"));
  EXPECT_TRUE(has(with(storage(1, "UntypedStorage")), "\"torch.UntypedStorage\" is not allowed"));
  EXPECT_TRUE(has(with("N"), "expected a storage, got None"));
  EXPECT_TRUE(has(with("(tQ"), "expected a storage"));
  EXPECT_TRUE(has(with("NQ"), "expected a storage, got None"));
  EXPECT_TRUE(
      has(with(std::string("(").append(text("storage")) + kTensor + "NNNtQ"), "expected a storage's class"));
}

TEST(HostileTorchFile, Programs) {
  const auto program = [](const std::string& rest) { return refusal(file_of(kProto + rest)); };
  EXPECT_TRUE(has(refusal(file_of("")), "data.pkl: byte 0: it ends too early"));
  EXPECT_TRUE(has(refusal(file_of("\x80\x04.")), "protocol 2"));
  EXPECT_TRUE(has(program(""), "it ends too early"));
  EXPECT_TRUE(has(program("."), "expected one value"));
  EXPECT_TRUE(has(program("}}."), "expected one value"));
  EXPECT_TRUE(has(program("}.}"), "expected one value"));
  EXPECT_TRUE(has(program("(}."), "expected one value"));
  EXPECT_TRUE(has(program("N."), "expected a dictionary of names to tensors, got None"));
  EXPECT_TRUE(has(program("t"), "a mark is missing"));
  EXPECT_TRUE(has(program("u"), "a mark is missing"));
  EXPECT_TRUE(has(program("s"), "a value is missing"));
  EXPECT_TRUE(has(program("}(NNs."), "a value is missing"));
  EXPECT_TRUE(has(program("NN(s"), "a value is missing"));  // nothing below a mark
  EXPECT_TRUE(has(program("(q\x01"), "a value is missing"));
  EXPECT_TRUE(has(program("\x85"), "a value is missing"));
  EXPECT_TRUE(has(program("}(Nu."), "a key without a value"));
  EXPECT_TRUE(has(program("NNNs"), "expected a dictionary, got None"));
  EXPECT_TRUE(has(program("h\x01"), "an index without a value"));
  EXPECT_TRUE(has(program("j" + le<uint32_t>(UINT32_MAX)), "an index without a value"));
  EXPECT_TRUE(has(program("Nr" + le<uint32_t>(UINT32_MAX)), "an index that is too large"));
  EXPECT_TRUE(has(program("X" + le<uint32_t>(UINT32_MAX)), "it ends too early"));
  EXPECT_TRUE(has(program(text("\xff")), "not UTF-8"));
  EXPECT_TRUE(has(program("\x8a\x09" + std::string(9, '\1')), "more than 64 bits"));
  EXPECT_TRUE(has(program("NNR"), "expected a tuple of arguments, got None"));
  EXPECT_TRUE(has(program("N)R"), "expected a function's name, got None"));
  EXPECT_TRUE(has(program("ccollections\nOrderedDict\nN\x85R"), "an OrderedDict with arguments"));
  EXPECT_TRUE(has(program("Nb"), "expected attributes, got None"));
  EXPECT_TRUE(has(program("N}b"), "expected a dictionary, got None"));
  std::string many = "}}(";
  for (int i = 0; i < 9; ++i) many += text("_metadata") + "N";
  EXPECT_TRUE(has(program(many + "ub"), "a dictionary with many attributes"));
  EXPECT_TRUE(has(program("cos\nsystem\n"), "\"os.system\" is not allowed"));
  EXPECT_TRUE(has(program("cbuiltins\neval\n"), "\"builtins.eval\" is not allowed"));
  EXPECT_TRUE(has(program("c\xff\n\xff\n"), "a name that is not UTF-8 is not allowed"));
  EXPECT_TRUE(has(program("c" + std::string(1000, 'a') + "\n"), "a name that does not end"));
  // every opcode of Python's that is not known here, by its number
  for (const char op :
       std::string("012FGILPSTUVi]ale\x81\x82\x83\x84\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95"))
    EXPECT_TRUE(has(program(std::string(1, op)), fmt::format("opcode 0x{:02x}", static_cast<uint8_t>(op))));
}

TEST(HostileTorchFile, CallsOfTheWrongThings) {
  const auto with = [](const std::string& value) { return refusal(file_with(value)); };
  EXPECT_TRUE(
      has(with(kTensor + ")R"), "\"w\": torch._utils._rebuild_tensor_v2: expected 6 arguments, got 0"));
  EXPECT_TRUE(has(with(kTensor), "expected a tensor, got a name"));
  // What training scripts save, {"state_dict": ..., "epoch": ...}.
  EXPECT_TRUE(
      has(with("}"), "\"w\": expected a tensor, got a dictionary; if the weights lie in it, save it alone"));
  EXPECT_TRUE(has(with("ctorch\nFloatStorage\n)R"), "got a call of torch.FloatStorage"));
  const std::string parameter = "ctorch._utils\n_rebuild_parameter\n";
  EXPECT_TRUE(has(with(parameter + "(NNNtR"), "expected a tensor, got None"));
  const std::string nested = parameter + "(" + parameter + "(NNNtRNNtR";
  EXPECT_TRUE(has(with(nested), "got a call of torch._utils._rebuild_parameter"));
  EXPECT_TRUE(has(refusal(file_of(kProto + "}(" + text("w") + tensor(storage(6), 0, {1}, {1}) + text("w") +
                                  tensor(storage(6), 0, {1}, {1}) + "u.")),
                  "\"w\": the name appears twice"));
}

// Programs that would take a naive reader's stack, or grow its memory with the square of their length.
TEST(HostileTorchFile, DeepAndRepeatedValues) {
  std::string deep = kProto + "N";
  for (int i = 0; i < 1'000'000; ++i) deep += "\x85";
  EXPECT_TRUE(has(refusal(file_of(deep + ".")), "got a tuple"));
  std::string marks = kProto + std::string(1'000'000, '(');
  EXPECT_TRUE(has(refusal(file_of(marks)), "it ends too early"));
  // each tuple holds the one before it twice
  std::string doubled = kProto + "Nq\x01";
  for (int i = 0; i < 100'000; ++i) doubled += "h\x01h\x01\x86q\x01";
  EXPECT_TRUE(has(refusal(file_of(doubled + ".")), "expected one value"));
  // a dictionary in itself
  EXPECT_TRUE(has(refusal(file_of(kProto + "}q\x01" + text("w") + "h\x01s.")), "got a dictionary"));
  // one long tuple as the sizes of many tensors
  std::string sizes = kProto + tuple(std::vector<int64_t>(100'000, 1)) + "q\x01" + "0";
  EXPECT_TRUE(has(refusal(file_of(sizes)), "opcode 0x30"));
  const std::string long_pickle(kMaxPickleBytes + 1, 'N');
  EXPECT_TRUE(has(refusal(file_of(long_pickle)), "expected at most 8388608"));
}

TEST(HostileTorchFile, Entries) {
  EXPECT_TRUE(has(refusal("\x80\x02}."), "expected a zip file"));
  EXPECT_TRUE(has(refusal(""), "expected a zip file"));
  EXPECT_TRUE(
      has(refusal(zip({{"data", ""}})), "expected one entry data.pkl, as torch.save writes it, got 0"));
  EXPECT_TRUE(has(refusal(zip({{"a/data.pkl", ""}, {"b/data.pkl", ""}})), "got 2"));
  EXPECT_TRUE(has(refusal(zip({{"a/data.pkl", ""}, {"a/byteorder", "big"}})), "not little-endian"));
}

TEST(HostileTorchFile, EveryCutOfAWholeFile) {
  const std::string file = bytes_of(test_data() / "io/torch/mixed.bin");
  for (size_t size = 0; size < file.size(); ++size) refusal(file.substr(0, size));
}

// Any single byte changed gives the same kind of error, or tensors inside the file.
TEST(HostileTorchFile, EveryByteChanged) {
  const std::string file = bytes_of(test_data() / "io/torch/views.bin");
  for (size_t at = 0; at < file.size(); ++at)
    for (const int change : {0x01, 0x80, 0xff}) {
      std::string changed = file;
      changed[at] = static_cast<char>(changed[at] ^ change);
      try {
        for (const auto& [name, entry] : parse_torch_file(changed, "x.bin")) {
          EXPECT_LE(0, entry.begin);
          EXPECT_LE(entry.begin, entry.end);
          EXPECT_LE(entry.end, static_cast<int64_t>(file.size()));
        }
      } catch (const std::runtime_error&) {
      }
    }
}

}  // namespace
}  // namespace decovec
