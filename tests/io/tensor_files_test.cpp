// What a folder's files are, whatever their format.
#include "decovec/io/tensor_files.hpp"

#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "decovec/io/safetensors.hpp"
#include "io/temporary_folder.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

void copy_all(const fs::path& from, const TemporaryFolder& to) {
  for (const auto& file : fs::directory_iterator(from))
    if (!file.path().filename().string().starts_with("refused_")) fs::copy(file, to.path());
}

TEST(TensorFiles, PrefersSafetensorsAndSingleFiles) {
  const TemporaryFolder folder;
  const auto opened = [&] { return TensorFiles::open(folder.path()).path().filename().string(); };
  copy_all(test_data() / "io/torch", folder);
  EXPECT_EQ(opened(), "pytorch_model.bin.index.json");
  fs::copy(test_data() / "io/torch/mixed.bin", folder / "pytorch_model.bin");
  EXPECT_EQ(opened(), "pytorch_model.bin");
  copy_all(test_data() / "io/sharded", folder);
  EXPECT_EQ(opened(), "model.safetensors.index.json");
  fs::copy(test_data() / "io/mixed.safetensors", folder / "model.safetensors");
  EXPECT_EQ(opened(), "model.safetensors");
}

TEST(TensorFiles, SaysWhatItLookedFor) {
  const TemporaryFolder folder;
  put(folder / "model.gguf", "x");
  EXPECT_TRUE(has(message_of([&] { TensorFiles::open(folder.path()); }),
                  folder.path().string() + ": no weights; looked for model.safetensors, "
                                           "model.safetensors.index.json, pytorch_model.bin, "
                                           "pytorch_model.bin.index.json"));
}

TEST(TensorFiles, NamesLinksThatLeadNowhere) {
  const TemporaryFolder folder;
  fs::create_symlink("../blobs/1234", folder / "model.safetensors");
  copy_all(test_data() / "io/torch", folder);
  const auto refusal = [&] { return message_of([&] { TensorFiles::open(folder.path()); }); };
  EXPECT_TRUE(has(refusal(), (folder / "model.safetensors").string() + ": a link to '../blobs/1234'"));
  fs::remove(folder / "model.safetensors");
  const fs::path shard = folder / "pytorch_model-00002-of-00002.bin";
  fs::remove(shard);
  EXPECT_TRUE(has(refusal(), "the shard \"pytorch_model-00002-of-00002.bin\" is missing; 1 of its tensors"));
  fs::create_symlink("nowhere", shard);
  EXPECT_TRUE(has(refusal(), shard.string() + ": a link to 'nowhere'"));
}

TEST(TensorFiles, NamesPointersOfGitLfs) {
  const TemporaryFolder folder;
  for (const char* name : {"model.safetensors", "pytorch_model.bin"}) {
    put(folder / name, "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 34\n");
    EXPECT_TRUE(has(message_of([&] { TensorFiles::open(folder / name); }), "pointer of Git LFS"));
  }
}

TEST(TensorFiles, TellsDtypesAndBytes) {
  const TensorFiles file = TensorFiles::open(test_data() / "io/unsupported.safetensors");
  EXPECT_EQ(file.dtype("float8"), "F8_E4M3");
  EXPECT_EQ(file.dtype("float32"), "F32");
  EXPECT_EQ(file.bytes(), static_cast<int64_t>(fs::file_size(file.path())));
  EXPECT_TRUE(has(message_of([&] { file.dtype("other"); }), "no tensor \"other\""));
  const TensorFiles shards = TensorFiles::open(test_data() / "io/sharded");
  int64_t bytes = 0;
  for (const char* number : {"1", "2"})
    bytes += static_cast<int64_t>(fs::file_size(
        test_data() / ("io/sharded/model-0000" + std::string(number) + "-of-00002.safetensors")));
  EXPECT_EQ(shards.bytes(), bytes);
}

TEST(TensorFiles, GivesTheSameTensorsUnderOtherNames) {
  TensorFiles renamed = TensorFiles::open(test_data() / "io/sharded");
  renamed = renamed.renamed([](const std::string& name) { return "x." + name; });
  EXPECT_EQ(renamed.names(), (std::vector<std::string>{"x.a", "x.b"}));
  EXPECT_EQ(renamed.tensor("x.a").sum().item<float>(), 6);
  const std::string message =
      message_of([&] { renamed.renamed([](const std::string&) { return std::string("y"); }); });
  EXPECT_TRUE(has(message, "\"x.b\" and another tensor both stand for \"y\""));
}

TEST(TensorFiles, IndexesStayInTheirFolder) {
  const TemporaryFolder folder;
  copy_all(test_data() / "io/torch", folder);
  const auto with = [&](const std::string& entry) {
    put(folder / "pytorch_model.bin.index.json", "{\"weight_map\":{" + entry + "}}");
    return message_of([&] { TensorFiles::open(folder.path()); });
  };
  for (const char* file : {"/etc/passwd", "../x.bin", "a/b.bin", "..", ".", ""})
    EXPECT_TRUE(
        has(with("\"a\":\"" + std::string(file) + "\""), "expected the name of a file in the same folder"));
  EXPECT_TRUE(has(with("\"a\":3"), "expected the name of a file in the same folder, got 3"));
  EXPECT_TRUE(has(with(R"("c":"pytorch_model-00001-of-00002.bin")"), "no tensor \"c\""));
  EXPECT_TRUE(has(with(R"("a":"pytorch_model-00001-of-00002.bin","a":"pytorch_model-00002-of-00002.bin")"),
                  "the key \"a\" appears twice"));
  EXPECT_TRUE(has(with(R"("a":"pytorch_model.bin.index.json")"), "pytorch_model.bin.index.json"));
}

}  // namespace
}  // namespace decovec
