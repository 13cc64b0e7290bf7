#include "eval/reference_vectors.hpp"

#include <ATen/ATen.h>

#include "io/error.hpp"
#include "io/json_keys.hpp"

namespace decovec {
namespace {

[[noreturn]] void wrong(const JsonObject& object, const char* key, const char* expected) {
  fail("{}: '{}': expected {}, got {}", object.where(), key, expected,
       shown(object.raw().value(key, Json())));
}

const Json& list(const JsonObject& object, const char* key, const char* expected) {
  const auto found = object.raw().find(key);
  if (found == object.raw().end() || !found->is_array()) wrong(object, key, expected);
  return *found;
}

at::Tensor matrix(const JsonObject& object, size_t rows) {
  constexpr const char* kExpected = "a list of as many numbers for each text";
  const Json& vectors = list(object, "vectors", kExpected);
  std::vector<float> values;
  size_t columns = 0;
  for (const Json& vector : vectors) {
    if (!vector.is_array() || vector.empty()) wrong(object, "vectors", kExpected);
    if (columns == 0) columns = vector.size();
    if (vector.size() != columns) wrong(object, "vectors", kExpected);
    for (const Json& value : vector) {
      if (!value.is_number()) wrong(object, "vectors", kExpected);
      values.push_back(value.get<float>());
    }
  }
  if (vectors.size() != rows) wrong(object, "vectors", kExpected);
  return at::tensor(values).view({static_cast<int64_t>(rows), static_cast<int64_t>(columns)});
}

std::vector<std::vector<int64_t>> id_lists(const JsonObject& object, size_t rows) {
  if (!object.has("ids")) return {};
  constexpr const char* kExpected = "a list of integers for each text";
  std::vector<std::vector<int64_t>> ids;
  for (const Json& row : list(object, "ids", kExpected)) {
    ids.emplace_back();
    if (!row.is_array()) wrong(object, "ids", kExpected);
    for (const Json& id : row) {
      if (!id.is_number_integer()) wrong(object, "ids", kExpected);
      ids.back().push_back(id.get<int64_t>());
    }
  }
  if (ids.size() != rows) wrong(object, "ids", kExpected);
  return ids;
}

ReferenceCase read_case(const JsonObject& object) {
  refuse_unknown_keys(object, {"prompt_name", "prompt", "texts", "ids", "vectors"});
  ReferenceCase one;
  if (object.has("prompt_name")) one.prompt_name = object.string("prompt_name");
  if (object.has("prompt")) one.prompt = object.string("prompt");
  constexpr const char* kExpected = "at least one text";
  for (const Json& text : list(object, "texts", kExpected)) {
    if (!text.is_string()) wrong(object, "texts", kExpected);
    one.texts.push_back(text.get<std::string>());
  }
  if (one.texts.empty()) wrong(object, "texts", kExpected);
  one.ids = id_lists(object, one.texts.size());
  one.vectors = matrix(object, one.texts.size());
  return one;
}

}  // namespace

ReferenceVectors read_reference_vectors(const std::filesystem::path& file) {
  const JsonObject object = JsonObject::read(file);
  refuse_unknown_keys(object, {"dtype", "tolerance", "made_by", "cases"});
  ReferenceVectors reference{
      .where = file.string(), .dtype = object.string("dtype"), .made_by = {}, .cases = {}};
  if (reference.dtype != "float32" && reference.dtype != "bfloat16" && reference.dtype != "float16")
    wrong(object, "dtype", "float32, bfloat16 or float16");
  reference.tolerance = object.number("tolerance");
  if (!(reference.tolerance >= 0)) wrong(object, "tolerance", "a number of 0 or more");
  const Json versions = object.raw().value("made_by", Json::object());
  for (const auto& [name, version] : versions.items())
    reference.made_by += fmt::format("{}{} {}", reference.made_by.empty() ? "" : ", ", name,
                                     version.is_string() ? version.get<std::string>() : shown(version));
  const Json& cases = list(object, "cases", "at least one case");
  if (cases.empty()) wrong(object, "cases", "at least one case");
  for (size_t i = 0; i < cases.size(); ++i)
    reference.cases.push_back(read_case({cases[i], fmt::format("{}: case {}", file.string(), i)}));
  return reference;
}

}  // namespace decovec
