#include "decovec/io/npy.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>

#include <ATen/ATen.h>

#include "io/error.hpp"
#include "io/file.hpp"
#include "io/json.hpp"
#include "io/mapped_file.hpp"

namespace decovec {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
// Magic, version 1.0 and header length take 10 bytes; with them the header is a multiple of 64. It has room
// for every number of rows, so that it can be written again once that is known.
constexpr size_t kHeaderBytes = 128;

std::string header(int64_t rows, int64_t columns) {
  std::string text =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, columns);
  text.resize(kHeaderBytes - 10 - 1, ' ');
  text += '\n';
  std::string bytes(kMagic);
  bytes += {'\x01', '\x00', static_cast<char>(text.size()), '\x00'};
  return bytes + text;
}

struct Dtype {
  std::string_view descr;
  c10::ScalarType scalar_type;
};
constexpr std::array kDtypes = {Dtype{"<f4", at::kFloat}, Dtype{"<f8", at::kDouble}, Dtype{"<i4", at::kInt},
                                Dtype{"<i8", at::kLong}};

// The header's Python dictionary: three known keys in any order, whose values are a string, a truth value and
// a tuple of sizes.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  void parse() {
    expect("{");
    while (!accept("}")) {
      const std::string_view key = quoted();
      expect(":");
      if (key == "descr") {
        descr = quoted();
      } else if (key == "fortran_order") {
        if (accept("True"))
          fail("{}: is in Fortran order; save it in C order (numpy.ascontiguousarray)", where_);
        expect("False");
      } else if (key == "shape") {
        shape = sizes();
      } else {
        malformed();
      }
      if (!accept(",")) {
        expect("}");
        break;
      }
    }
    skip_space();
    if (!text_.empty() || descr.empty() || !shape) malformed();
  }

  std::string_view descr;
  std::optional<std::vector<int64_t>> shape;

 private:
  [[noreturn]] void malformed() const { fail("{}: malformed .npy header", where_); }
  void skip_space() { text_.remove_prefix(std::min(text_.find_first_not_of(" \n"), text_.size())); }
  bool accept(std::string_view token) {
    skip_space();
    if (!text_.starts_with(token)) return false;
    text_.remove_prefix(token.size());
    return true;
  }
  void expect(std::string_view token) {
    if (!accept(token)) malformed();
  }
  std::string_view quoted() {
    expect("'");
    const size_t end = text_.find('\'');
    if (end == text_.npos) malformed();
    const std::string_view content = text_.substr(0, end);
    text_.remove_prefix(end + 1);
    return content;
  }
  std::vector<int64_t> sizes() {
    std::vector<int64_t> sizes;
    expect("(");
    while (!accept(")")) {
      skip_space();
      int64_t size = 0;
      const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), size);
      if (error != std::errc() || size < 0) malformed();
      text_.remove_prefix(static_cast<size_t>(end - text_.data()));
      sizes.push_back(size);
      if (sizes.size() > 64) fail("{}: more than 64 dimensions", where_);  // LibTorch's bound, and NumPy's
      if (!accept(",")) {
        expect(")");
        break;
      }
    }
    return sizes;
  }

  std::string_view text_;
  const std::string& where_;
};

// The header's text and what follows it, of any version of the format.
std::pair<std::string_view, std::string_view> split_header(std::string_view bytes, const std::string& where) {
  if (bytes.size() < 12 || !bytes.starts_with(kMagic)) fail("{}: expected a .npy file", where);
  const int version = bytes[6];
  if (version < 1 || version > 3) fail("{}: unknown .npy version {}", where, version);
  const size_t length_bytes = version == 1 ? 2 : 4;
  uint32_t length = 0;
  std::memcpy(&length, bytes.data() + 8, length_bytes);
  bytes.remove_prefix(8 + length_bytes);
  if (length > bytes.size()) fail("{}: the header is cut off; is the file truncated?", where);
  return {bytes.substr(0, length), bytes.substr(length)};
}

}  // namespace

struct NpyWriter::State {
  State(const std::filesystem::path& path, int64_t columns) : file(path), columns(columns) {}
  StagedFile file;
  int64_t columns;
  int64_t rows = 0;
};

NpyWriter::NpyWriter(const std::filesystem::path& file, int64_t columns) {
  if (columns < 0) reject("NpyWriter: columns: expected at least 0, got {}", columns);
  state_ = std::make_unique<State>(file, columns);
  state_->file.write(header(0, columns));
}

NpyWriter::~NpyWriter() = default;
NpyWriter::NpyWriter(NpyWriter&&) noexcept = default;
NpyWriter& NpyWriter::operator=(NpyWriter&&) noexcept = default;

void NpyWriter::append(const at::Tensor& rows) {
  at_boundary("NpyWriter::append", [&] {
    if (!state_) reject("NpyWriter::append: the file is finished");
    if (!rows.defined() || rows.dim() != 2 || rows.size(1) != state_->columns || !rows.is_floating_point())
      reject("NpyWriter::append: expected floats [n, {}]", state_->columns);
    const at::Tensor block = rows.detach().to(at::kCPU, at::kFloat).contiguous();
    state_->file.write(
        {static_cast<const char*>(block.const_data_ptr()), static_cast<size_t>(block.nbytes())});
    state_->rows += block.size(0);
  });
}

void NpyWriter::finish() {
  if (!state_) reject("NpyWriter::finish: the file is finished");
  state_->file.write_at(0, header(state_->rows, state_->columns));
  state_->file.commit();
  state_.reset();
}

at::Tensor read_npy(const std::filesystem::path& file) {
  return at_boundary("read_npy", [&] {
    const std::string where = file.string();
    const std::shared_ptr<const MappedFile> mapped = MappedFile::open(file);
    const auto [text, data] = split_header(mapped->bytes(), where);
    HeaderParser header(text, where);
    header.parse();
    const auto* dtype = std::find_if(kDtypes.begin(), kDtypes.end(),
                                     [&](const Dtype& known) { return known.descr == header.descr; });
    if (dtype == kDtypes.end())
      fail("{}: dtype {} is not supported, expected <f4, <f8, <i4 or <i8", where, shown(header.descr));
    auto expected = static_cast<int64_t>(c10::elementSize(dtype->scalar_type));
    for (const int64_t size : *header.shape)
      if (__builtin_mul_overflow(expected, std::max<int64_t>(size, 1), &expected))
        fail("{}: the shape is too large", where);
    for (const int64_t size : *header.shape)
      if (size == 0) expected = 0;
    if (static_cast<uint64_t>(expected) != data.size())
      fail("{}: expected {} bytes of data, got {}; is the file truncated?", where, expected, data.size());
    at::Tensor tensor = at::empty(*header.shape, dtype->scalar_type);
    if (!data.empty()) std::memcpy(tensor.data_ptr(), data.data(), data.size());
    return tensor;
  });
}

}  // namespace decovec
