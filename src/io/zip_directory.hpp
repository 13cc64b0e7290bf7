// The directory of a zip file.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace decovec {

/// The bytes of a stored entry, from the start of the file.
struct ZipRecord {
  int64_t begin, size;
};

using ZipRecords = std::map<std::string, ZipRecord, std::less<>>;

/// The entries of a whole zip file by name, zip64 or not, all of them stored as they are.
///
/// A reader of our own, since tensors are to lie in the file's mapping: zip libraries hand out copies, and of
/// those that tell where an entry begins none says whether it is compressed. Throws std::runtime_error
/// "where: ..." for a directory or an entry that leaves the file, entries that overlap, names given twice,
/// and for what torch.save does not write: compression, encryption, several disks, a comment at the end.
ZipRecords read_zip_directory(std::string_view file, const std::string& where);

}  // namespace decovec
