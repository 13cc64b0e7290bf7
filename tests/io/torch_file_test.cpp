// Files that torch.save wrote (tests/data/torch_file_reference.py).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "decovec/io/tensor_files.hpp"
#include "io/reference_tensors.hpp"
#include "io/temporary_folder.hpp"

namespace decovec {
namespace {

std::filesystem::path reference(const std::string& name) { return test_data() / "io/torch" / name; }

TEST(TorchFile, ReadsEveryDtype) {
  const TensorFiles file = TensorFiles::open(reference("mixed.bin"));
  expect_reference_tensors(file);
  EXPECT_EQ(file.dtype("bfloat16"), "BF16");
  EXPECT_TRUE(file.metadata().empty());
}

TEST(TorchFile, ReadsViewsOfOneStorage) {
  const TensorFiles file = TensorFiles::open(reference("views.bin"));
  const at::Tensor whole = at::arange(24, at::kFloat).view({4, 6});
  const std::map<std::string, at::Tensor> expected = {
      {"whole", whole},
      {"transposed", whole.t()},
      {"rows", whole.narrow(0, 1, 2)},
      {"columns", whole.narrow(1, 2, 3)},
      {"every_other", whole.index({at::indexing::Slice(0, 4, 2), at::indexing::Slice(1, 6, 2)})},
      {"diagonal", whole.diagonal()},
      {"parameter", whole.select(0, 0)},
      {"none_of_it", whole.narrow(0, 4, 0)}};
  EXPECT_EQ(file.names().size(), expected.size());
  for (const auto& [name, tensor] : expected) expect_equal(file.tensor(name), tensor, name);
  // one storage, mapped once
  const auto* begin = file.tensor("whole").data_ptr<float>();
  EXPECT_EQ(file.tensor("rows").data_ptr<float>(), begin + 6);
  EXPECT_EQ(file.tensor("transposed").data_ptr<float>(), begin);
}

TEST(TorchFile, ReadsAModulesStateDict) {
  const TensorFiles file = TensorFiles::open(reference("module.bin"));
  EXPECT_EQ(file.names().size(), 80u);
  for (int i = 0; i < 40; ++i) {
    expect_equal(file.tensor(fmt::format("{}.weight", i)), at::full({1, 2}, 2.0f * static_cast<float>(i)),
                 "weight");
    expect_equal(file.tensor(fmt::format("{}.bias", i)), at::full({1}, 2.0f * static_cast<float>(i) + 1),
                 "bias");
  }
}

TEST(TorchFile, ReadsShardsThroughTheIndex) {
  for (const char* path : {"", "pytorch_model.bin.index.json"}) {
    const TensorFiles file = TensorFiles::open(reference(path));
    EXPECT_EQ(file.names(), (std::vector<std::string>{"a", "b"}));
    expect_equal(file.tensor("a"), at::arange(4, at::kFloat), "a");
    expect_equal(file.tensor("b"), at::arange(6, at::kBFloat16).view({2, 3}), "b");
  }
}

TEST(TorchFile, TensorsLieInTheMappingThatTheyKeepAlive) {
  at::Tensor tensor;
  {
    const TensorFiles file = TensorFiles::open(reference("mixed.bin"));
    tensor = file.tensor("float32");
    EXPECT_EQ(tensor.data_ptr(), file.tensor("float32").data_ptr());
  }
  EXPECT_EQ(tensor.sum().item<double>(), 36.75);
}

// Another zip writer aligns nothing.
TEST(TorchFile, CopiesUnalignedTensors) {
  expect_equal(TensorFiles::open(reference("stored_again.bin")).tensor("a"), at::ones({2}), "a");
}

TEST(TorchFile, RefusesByName) {
  const std::pair<const char*, std::vector<const char*>> cases[] = {
      {"refused_legacy.bin", {"before torch 1.6", "safetensors"}},
      {"refused_protocol.bin", {"pickle protocol 2"}},
      {"refused_nested.bin", {"\"state_dict\"", "expected a tensor, got a dictionary"}},
      {"refused_number.bin", {"\"epoch\"", "got an integer"}},
      {"refused_list.bin", {"opcode 0x5d"}},
      {"refused_key.bin", {"a tensor's name", "got an integer"}},
      {"refused_code.bin", {"\"posix.system\"", "nothing of a file is run"}},
      {"refused_module.bin", {"\"torch.nn.modules.linear.Linear\"", "state_dict()"}},
      {"refused_float8.bin", {"\"torch._utils._rebuild_tensor_v3\""}},
      {"refused_complex.bin", {"\"torch.ComplexFloatStorage\""}},
      {"refused_conjugate.bin", {"\"torch.ComplexFloatStorage\""}},
      {"refused_negative.bin", {"\"a\"", "expected 6 arguments, got 7"}},
      {"refused_sparse.bin", {"\"torch._utils._rebuild_sparse_tensor\""}},
      {"refused_expanded.bin", {"\"a\"", "[1000, 1000]", "leave its storage"}},
      {"refused_attribute.bin", {"attribute \"note\""}},
      {"refused_script.pt", {"compressed"}},
      {"refused_compressed.bin", {"compressed"}},
  };
  for (const auto& [name, parts] : cases) {
    const std::string message = message_of([&] { TensorFiles::open(reference(name)); });
    EXPECT_TRUE(message.starts_with(reference(name).string() + ": ")) << message;
    for (const char* part : parts) EXPECT_TRUE(has(message, part));
  }
  EXPECT_FALSE(std::filesystem::exists("ran"));
}

}  // namespace
}  // namespace decovec
