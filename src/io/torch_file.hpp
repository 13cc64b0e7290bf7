// Files that torch.save writes, read without running anything that stands in them.
#pragma once
#include <string>
#include <string_view>

#include "io/tensor_entry.hpp"

namespace decovec {

/// Where the tensors of a state dict lie in a whole file of torch.save (pytorch_model.bin): a zip file with
/// one pickle, which names the tensors, and an entry of bytes for each storage. Tensors may share storages,
/// begin inside them and have strides of their own.
///
/// Throws std::runtime_error "where: ..." for a pickle that holds anything but a dictionary of names to
/// tensors, and for tensors that leave their storage; the legacy format without a zip file is refused.
TensorEntries parse_torch_file(std::string_view file, const std::string& where);

}  // namespace decovec
