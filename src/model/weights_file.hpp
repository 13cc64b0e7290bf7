// From a checkpoint's tensors to a model's parameters.
#pragma once
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "decovec/io/tensor_files.hpp"
#include "decovec/model/parameter.hpp"

namespace decovec {

/// A folder's tensors, and what stands before the decoder's names in them: "model.layers.0..." of causal
/// language models, "layers.0..." of base models, "embedding_model.layers.0..." of NV-Embed, and what wraps
/// them.
struct BackboneFiles {
  TensorFiles files;
  std::string prefix;
};

/// Opens a folder's weights. Names lose what training wraps around modules (DDP's "module.", torch.compile's
/// "_orig_mod." and their kin); an embedding that was saved under the name of the head tied to it gets its
/// own name. Throws std::runtime_error where there is no decoder in the files, or more than one.
BackboneFiles open_backbone(const std::filesystem::path& folder);

/// Throws std::runtime_error unless the files hold a tensor of plain floating-point numbers behind `prefix`
/// for every parameter, of its shape. Parameters may be on the meta device: sizes that the files do not have
/// are to be refused before anything of these sizes is allocated.
void check_weights(const std::vector<Parameter>& parameters, const TensorFiles& files,
                   const std::string& prefix);

/// Copies every parameter from the tensor of its name behind `prefix`, which check_weights has seen. A
/// parameter never lies in the mapping: most are rows of a larger tensor, a mapping's alignment can change
/// the last bits of products, and the model shall not depend on what becomes of the file. Returns the names
/// of those tensors. Throws std::runtime_error for a value that is too large for float16.
std::set<std::string> load_weights(const std::vector<Parameter>& parameters, const TensorFiles& files,
                                   const std::string& prefix);

/// Refuses tensors that are neither `expected` nor known to be of no use to an embedder: one that config.json
/// does not tell of would be left out silently, and the vectors would be wrong.
void refuse_unexpected(const TensorFiles& files, const std::set<std::string>& expected);

}  // namespace decovec
