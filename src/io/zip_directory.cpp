#include "io/zip_directory.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "io/error.hpp"

namespace decovec {
namespace {

constexpr uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50, kEnd64 = 0x06064b50,
                   kLocator64 = 0x07064b50;
constexpr uint64_t kEndBytes = 22, kEnd64Bytes = 56, kLocator64Bytes = 20, kCentralBytes = 46,
                   kLocalBytes = 30;
constexpr uint16_t kEncrypted = 1, kExtra64 = 1;

class ZipReader {
 public:
  ZipReader(std::string_view file, const std::string& where) : file_(file), where_(where) {}

  ZipRecords read() {
    const Directory directory = find_directory();
    end_of_entries_ = directory.begin;
    uint64_t at = directory.begin;
    for (uint64_t i = 0; i < directory.entries; ++i) at = read_entry(at, directory.end);
    if (at != directory.end) broken("bytes behind the last entry of its directory");
    check_overlaps();
    return std::move(records_);
  }

 private:
  struct Directory {
    uint64_t begin, end, entries;
  };

  [[noreturn]] void broken(std::string_view what) const {
    fail("{}: not a whole zip file, as torch.save writes it: {}; is the file truncated?", where_, what);
  }

  // Little-endian, as this code's machines are.
  template <class Integer>
  Integer at(uint64_t offset) const {
    if (offset > file_.size() || sizeof(Integer) > file_.size() - offset) broken("it ends too early");
    Integer value;
    std::memcpy(&value, file_.data() + offset, sizeof value);
    return value;
  }
  std::string_view bytes(uint64_t offset, uint64_t size, uint64_t end) const {
    if (offset > end || size > end - offset) broken("an entry leaves its place");
    return file_.substr(offset, size);
  }

  // At the very end, without a comment behind it.
  Directory find_directory() const {
    if (file_.size() < kEndBytes) broken("it ends too early");
    const uint64_t end = file_.size() - kEndBytes;
    if (at<uint32_t>(end) != kEnd || at<uint16_t>(end + 20) != 0) broken("no directory at its end");
    uint64_t entries = at<uint16_t>(end + 10), size = at<uint32_t>(end + 12), begin = at<uint32_t>(end + 16);
    uint64_t directory_end = end;
    if (end >= kLocator64Bytes && at<uint32_t>(end - kLocator64Bytes) == kLocator64) {
      const auto end64 = at<uint64_t>(end - kLocator64Bytes + 8);
      if (end64 > end - kLocator64Bytes || end - kLocator64Bytes - end64 != kEnd64Bytes ||
          at<uint32_t>(end64) != kEnd64)
        broken("its zip64 directory is not where it should be");
      entries = at<uint64_t>(end64 + 32);
      size = at<uint64_t>(end64 + 40);
      begin = at<uint64_t>(end64 + 48);
      directory_end = end64;
    }
    if (begin > directory_end || size != directory_end - begin) broken("its directory has another size");
    if (entries > size / kCentralBytes) broken("its directory is too short for its entries");
    return {begin, directory_end, entries};
  }

  // One entry of the directory; returns where the next one begins.
  uint64_t read_entry(uint64_t entry, uint64_t end) {
    bytes(entry, kCentralBytes, end);
    if (at<uint32_t>(entry) != kCentral) broken("its directory holds something else");
    const uint64_t name_size = at<uint16_t>(entry + 28), extra_size = at<uint16_t>(entry + 30),
                   comment_size = at<uint16_t>(entry + 32);
    const uint64_t next = entry + kCentralBytes + name_size + extra_size + comment_size;
    const std::string_view name = bytes(entry + kCentralBytes, name_size, end);
    bytes(entry, next - entry, end);
    if (at<uint16_t>(entry + 10) != 0 || (at<uint16_t>(entry + 8) & kEncrypted) != 0)
      fail(
          "{}: an entry is compressed or encrypted, expected all of them stored; load and save it again with "
          "torch",
          where_);

    uint64_t packed = at<uint32_t>(entry + 20), size = at<uint32_t>(entry + 24),
             local = at<uint32_t>(entry + 42);
    read_wide_sizes(entry + kCentralBytes + name_size, extra_size, {&size, &packed, &local});
    if (packed != size || at<uint16_t>(entry + 34) != 0) broken("an entry has two sizes, or lies elsewhere");

    bytes(local, kLocalBytes, end_of_entries_);
    if (at<uint32_t>(local) != kLocal) broken("an entry is not where the directory says");
    const uint64_t local_name = at<uint16_t>(local + 26), local_extra = at<uint16_t>(local + 28);
    if (bytes(local + kLocalBytes, local_name, end_of_entries_) != name)
      broken("an entry has another name than the directory says");
    const uint64_t begin = local + kLocalBytes + local_name + local_extra;
    bytes(begin, size, end_of_entries_);
    spans_.emplace_back(local, begin + size);
    const ZipRecord record{static_cast<int64_t>(begin), static_cast<int64_t>(size)};
    if (!records_.emplace(name, record).second) broken("two entries have the same name");
    return next;
  }

  // Sizes of 32 bits that are all ones stand in an extra field, in this order.
  void read_wide_sizes(uint64_t extra, uint64_t extra_size, std::initializer_list<uint64_t*> sizes) const {
    std::vector<uint64_t*> wanted;
    for (uint64_t* size : sizes)
      if (*size == UINT32_MAX) wanted.push_back(size);
    const uint64_t end = extra + extra_size;
    while (!wanted.empty()) {
      bytes(extra, 4, end);
      const auto id = at<uint16_t>(extra), field_size = at<uint16_t>(extra + 2);
      bytes(extra + 4, field_size, end);
      if (id == kExtra64) {
        if (field_size < 8 * wanted.size()) broken("an entry's zip64 sizes are missing");
        for (size_t i = 0; i < wanted.size(); ++i) *wanted[i] = at<uint64_t>(extra + 4 + 8 * i);
        return;
      }
      extra += 4 + uint64_t{field_size};
    }
  }

  void check_overlaps() {
    std::sort(spans_.begin(), spans_.end());
    for (size_t i = 1; i < spans_.size(); ++i)
      if (spans_[i].first < spans_[i - 1].second) broken("two entries overlap");
  }

  std::string_view file_;
  const std::string& where_;
  uint64_t end_of_entries_ = 0;
  std::vector<std::pair<uint64_t, uint64_t>> spans_;  // header and bytes of each entry
  ZipRecords records_;
};

}  // namespace

ZipRecords read_zip_directory(std::string_view file, const std::string& where) {
  return ZipReader(file, where).read();
}

}  // namespace decovec
