#include "decovec/io/safetensors.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <thread>

#include <ATen/ATen.h>

#include "decovec/io/tensor_files.hpp"
#include "io/reference_tensors.hpp"
#include "io/temporary_folder.hpp"

namespace decovec {
namespace {

using Names = std::set<std::string>;

std::filesystem::path reference(const char* name) { return test_data() / "io" / name; }

TEST(Safetensors, ReadsWhatTheFormatsOwnLibraryWrote) {
  const TensorFiles file = TensorFiles::open(reference("mixed.safetensors"));
  expect_reference_tensors(file);
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}, {"note", "größer"}}));
  EXPECT_EQ(file.path(), reference("mixed.safetensors"));
}

TEST(Safetensors, NamesAreSorted) {
  const std::vector<std::string> names = TensorFiles::open(reference("mixed.safetensors")).names();
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
}

TEST(Safetensors, TensorsLieInOneMappingThatTheyKeepAlive) {
  at::Tensor tensor;
  {
    const TensorFiles file = TensorFiles::open(reference("mixed.safetensors"));
    const TensorFiles copy = file;
    tensor = file.tensor("float32");
    EXPECT_EQ(tensor.data_ptr(), copy.tensor("float32").data_ptr());
    EXPECT_EQ(static_cast<char*>(tensor.data_ptr()) - static_cast<char*>(copy.tensor("float64").data_ptr()),
              48);
  }
  EXPECT_EQ(tensor.sum().item<double>(), 36.75);
}

TEST(Safetensors, ThreadsReadAtOnce) {
  const TensorFiles file = TensorFiles::open(reference("mixed.safetensors"));
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int round = 0; round < 100; ++round)
        for (const std::string& name : file.names()) file.tensor(name);
    });
  for (std::thread& thread : threads) thread.join();
}

TEST(Safetensors, NamesWhatIsNotThere) {
  const TensorFiles file = TensorFiles::open(reference("mixed.safetensors"));
  EXPECT_FALSE(file.contains("other"));
  for (const std::string& message :
       {message_of([&] { file.tensor("other"); }), message_of([&] { file.shape("other"); })})
    EXPECT_TRUE(has(message, "mixed.safetensors: no tensor \"other\""));
  EXPECT_TRUE(
      has(message_of([] { TensorFiles::open("none.safetensors"); }), "none.safetensors: cannot open"));
}

TEST(Safetensors, OpensFilesWithDtypesItCannotHold) {
  const TensorFiles file = TensorFiles::open(reference("unsupported.safetensors"));
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
    const TensorFiles file = TensorFiles::open(reference(path));
    EXPECT_EQ(file.names(),
              (std::vector<std::string>{"a", "b"}));  // not "ignored", which the index does not name
    expect_equal(file.tensor("a"), at::arange(4, at::kFloat), "a");
    expect_equal(file.tensor("b"), at::arange(6, at::kBFloat16).view({2, 3}), "b");
    EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"source", "test"}}));
    EXPECT_EQ(file.path().filename(), "model.safetensors.index.json");
  }
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
  const TensorFiles file = TensorFiles::open(folder / "x.safetensors");
  for (const NamedTensor& named : tensors) expect_equal(file.tensor(named.name), named.tensor, named.name);
  EXPECT_FALSE(file.tensor("parameter").requires_grad());
}

TEST(WriteSafetensors, WritesNoTensors) {
  const TemporaryFolder folder;
  write_safetensors(folder / "x.safetensors", {}, {.metadata = {}});
  EXPECT_EQ(bytes_of(folder / "x.safetensors"), std::string("\x08\0\0\0\0\0\0\0{}      ", 16));
  EXPECT_TRUE(TensorFiles::open(folder / "x.safetensors").names().empty());
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
  EXPECT_EQ(TensorFiles::open(folder.path()).names(), (std::vector<std::string>{"a", "b"}));
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
  const auto names_in = [&](const char* shard) { return TensorFiles::open(folder / shard).names(); };
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
  const TensorFiles file = TensorFiles::open(folder.path());
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
  EXPECT_EQ(TensorFiles::open(folder.path()).names(), std::vector<std::string>{"a"});
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
