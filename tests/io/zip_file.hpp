// Zip files written by hand.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace decovec::test {

/// The bytes of an integer, little-endian.
template <class Integer>
inline std::string le(Integer value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

/// An entry of a zip file.
struct ZipEntry {
  std::string name, bytes;
};

/// What is unusual or wrong in a zip file.
struct ZipOptions {
  bool zip64 = false;  // sizes and offsets of 64 bits everywhere
  uint16_t flags = 0, method = 0, disk = 0;
  uint64_t offset_shift = 0, size_shift = 0, entries_shift = 0;
  std::string comment = {}, local_name = {}, after_directory = {};
};

/// A zip file of stored entries, with what the options break.
inline std::string zip(const std::vector<ZipEntry>& entries, const ZipOptions& options = {}) {
  std::string file, directory;
  for (const ZipEntry& entry : entries) {
    const uint64_t offset = file.size() + options.offset_shift,
                   size = entry.bytes.size() + options.size_shift;
    const std::string name = options.local_name.empty() ? entry.name : options.local_name;
    file += "PK\3\4" + le<uint16_t>(45) + le(options.flags) + le(options.method) + std::string(8, '\0') +
            le(static_cast<uint32_t>(size)) + le(static_cast<uint32_t>(size)) +
            le(static_cast<uint16_t>(name.size())) + le<uint16_t>(0) + name + entry.bytes;
    const std::string extra = options.zip64 ? le<uint16_t>(7) + le<uint16_t>(1) + "?" + le<uint16_t>(1) +
                                                  le<uint16_t>(24) + le(size) + le(size) + le(offset)
                                            : "";
    const auto narrow = [&](uint64_t value) {
      return le(options.zip64 ? UINT32_MAX : static_cast<uint32_t>(value));
    };
    directory += "PK\1\2" + le<uint16_t>(45) + le<uint16_t>(45) + le(options.flags) + le(options.method) +
                 std::string(8, '\0') + narrow(size) + narrow(size) +
                 le(static_cast<uint16_t>(entry.name.size())) + le(static_cast<uint16_t>(extra.size())) +
                 le<uint16_t>(0) + le(options.disk) + std::string(6, '\0') + narrow(offset) + entry.name +
                 extra;
  }
  const uint64_t begin = file.size(), count = entries.size() + options.entries_shift;
  file += directory + options.after_directory;
  if (options.zip64) {
    const uint64_t end = file.size();
    file += "PK\6\6" + le<uint64_t>(44) + le<uint16_t>(45) + le<uint16_t>(45) + std::string(8, '\0') +
            le(count) + le(count) + le<uint64_t>(directory.size()) + le(begin);
    file += "PK\6\7" + le<uint32_t>(0) + le(end) + le<uint32_t>(1);
  }
  file += "PK\5\6" + std::string(4, '\0') + le(static_cast<uint16_t>(count)) +
          le(static_cast<uint16_t>(count)) + le(static_cast<uint32_t>(directory.size())) +
          le(static_cast<uint32_t>(begin)) + le(static_cast<uint16_t>(options.comment.size())) +
          options.comment;
  return file;
}

}  // namespace decovec::test
