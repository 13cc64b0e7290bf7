#include "decovec/io/npy.hpp"

#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "io/temporary_folder.hpp"

namespace decovec {
namespace {

const at::Tensor& values() {
  static const at::Tensor values = at::tensor({0.5, -1.25, 3.0, 40.0, -5.5, 1e-3}, at::kDouble).view({2, 3});
  return values;
}

void expect_equal(const at::Tensor& got, const at::Tensor& expected) {
  ASSERT_EQ(got.scalar_type(), expected.scalar_type());
  ASSERT_EQ(got.sizes(), expected.sizes());
  EXPECT_TRUE(at::equal(got, expected));
}

TEST(ReadNpy, ReadsWhatNumpyWrote) {
  const auto folder = test_data() / "io";
  expect_equal(read_npy(folder / "float32.npy"), values().to(at::kFloat));
  expect_equal(read_npy(folder / "version2.npy"), values().to(at::kFloat));
  expect_equal(read_npy(folder / "float64.npy"), values());
  expect_equal(read_npy(folder / "int32.npy"), at::tensor({1, -2, 2147483647}, at::kInt));
  expect_equal(read_npy(folder / "int64.npy"), at::scalar_tensor(int64_t{1} << 62, at::kLong));
  expect_equal(read_npy(folder / "empty.npy"), at::empty({0, 5}));
}

TEST(ReadNpy, RefusesWhatItCannotHold) {
  const auto folder = test_data() / "io";
  EXPECT_TRUE(has(message_of([&] { read_npy(folder / "fortran.npy"); }), "fortran.npy: is in Fortran order"));
  EXPECT_TRUE(
      has(message_of([&] { read_npy(folder / "bool.npy"); }), "bool.npy: dtype \"|b1\" is not supported"));
}

TEST(ReadNpy, RefusesACutOrGrownFile) {
  const TemporaryFolder folder;
  const std::string bytes = bytes_of(test_data() / "io" / "float32.npy");
  for (size_t size = 0; size < bytes.size(); ++size) {
    put(folder / "cut.npy", bytes.substr(0, size));
    EXPECT_TRUE(has(message_of([&] { read_npy(folder / "cut.npy"); }), "cut.npy: ")) << size;
  }
  put(folder / "grown.npy", bytes + "x");
  EXPECT_TRUE(has(message_of([&] { read_npy(folder / "grown.npy"); }), "expected 24 bytes of data, got 25"));
}

TEST(ReadNpy, SurvivesEveryChangedByte) {
  const TemporaryFolder folder;
  const std::string bytes = bytes_of(test_data() / "io" / "float32.npy");
  int refused = 0;
  for (size_t at = 0; at < 128; ++at)
    for (const char byte : {'\0', '\x7f', '\xff', '9', '-', '(', ')', ',', '\'', '}'}) {
      std::string changed = bytes;
      changed[at] = byte;
      put(folder / "changed.npy", changed);
      try {
        read_npy(folder / "changed.npy");
      } catch (const std::runtime_error&) {
        ++refused;
      }
    }
  EXPECT_GT(refused, 1000);
}

std::string with_header(std::string text, std::string_view data = {}) {
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(text.size() & 0xff);
  bytes += static_cast<char>(text.size() >> 8);
  return bytes + text + std::string(data);
}

TEST(ReadNpy, RefusesHostileHeaders) {
  const TemporaryFolder folder;
  const auto refusal = [&](const std::string& header) {
    put(folder / "x.npy", with_header(header, "12345678"));
    return message_of([&] { read_npy(folder / "x.npy"); });
  };
  EXPECT_TRUE(has(refusal("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }"),
                  "too large"));
  EXPECT_TRUE(has(refusal("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9223372036854775807), }"),
                  "too large"));
  EXPECT_TRUE(has(refusal("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }"),
                  "malformed"));
  EXPECT_TRUE(has(refusal("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }"), "malformed"));
  EXPECT_TRUE(has(refusal("{'descr': '<f4', 'fortran_order': False}"), "malformed"));
  EXPECT_TRUE(has(refusal("{'shape': (2,), 'fortran_order': False}"), "malformed"));
  EXPECT_TRUE(has(refusal("{'descr': '>f4', 'fortran_order': False, 'shape': (2,)}"), "not supported"));
  EXPECT_TRUE(has(refusal("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}"), "malformed"));
  EXPECT_TRUE(has(refusal("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x"), "malformed"));
  EXPECT_TRUE(has(refusal(""), "malformed"));
  std::string ones;
  for (int i = 0; i < 65; ++i) ones += "1,";
  EXPECT_TRUE(
      has(refusal("{'descr': '<f8', 'fortran_order': False, 'shape': (" + ones + ")}"), "more than 64"));
  put(folder / "x.npy", with_header("{'shape':(1,2),'descr':'<f4','fortran_order':False}\n", "12345678"));
  EXPECT_EQ(read_npy(folder / "x.npy").sizes(), (at::IntArrayRef{1, 2}));
}

TEST(NpyWriter, WritesNumpysBytes) {
  const TemporaryFolder folder;
  NpyWriter writer(folder / "rows.npy", 3);
  writer.append(values().slice(0, 0, 1));
  writer.append(at::empty({0, 3}));
  EXPECT_FALSE(std::filesystem::exists(folder / "rows.npy"));
  writer.append(values().t().contiguous().t().slice(0, 1, 2));  // strided
  writer.finish();
  EXPECT_EQ(bytes_of(folder / "rows.npy"), bytes_of(test_data() / "io" / "float32.npy"));
  EXPECT_EQ(folder.names(), std::set<std::string>{"rows.npy"});
}

TEST(NpyWriter, WritesNoRows) {
  const TemporaryFolder folder;
  NpyWriter writer(folder / "rows.npy", 5);
  writer.finish();
  EXPECT_EQ(bytes_of(folder / "rows.npy"), bytes_of(test_data() / "io" / "empty.npy"));
}

TEST(NpyWriter, ConvertsToFloat32) {
  const TemporaryFolder folder;
  NpyWriter writer(folder / "rows.npy", 3);
  writer.append(values().to(at::kBFloat16));
  writer.append(values().to(at::kFloat).requires_grad_());
  writer.finish();
  expect_equal(read_npy(folder / "rows.npy"),
               at::cat({values().to(at::kBFloat16).to(at::kFloat), values().to(at::kFloat)}));
}

TEST(NpyWriter, LeavesNothingWithoutFinish) {
  const TemporaryFolder folder;
  {
    NpyWriter writer(folder / "rows.npy", 3);
    writer.append(values());
  }
  EXPECT_TRUE(folder.names().empty());
}

TEST(NpyWriter, RejectsWrongRows) {
  const TemporaryFolder folder;
  NpyWriter writer(folder / "rows.npy", 3);
  for (const at::Tensor& rows :
       {at::zeros({2, 4}), at::zeros({3}), at::zeros({2, 3}, at::kLong), at::Tensor()})
    EXPECT_TRUE(
        has(message_of<std::invalid_argument>([&] { writer.append(rows); }), "expected floats [n, 3]"));
  writer.finish();
  EXPECT_THROW(writer.append(values()), std::invalid_argument);
  EXPECT_THROW(writer.finish(), std::invalid_argument);
  EXPECT_THROW(NpyWriter(folder / "none/rows.npy", 3), std::runtime_error);
}

}  // namespace
}  // namespace decovec
