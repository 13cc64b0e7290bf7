#include "io/json.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "io/error.hpp"
#include "io/file.hpp"

namespace decovec {
namespace {

constexpr size_t kMaxDepth = 64;

// nlohmann's own sentence, which tells line and column, fit for one line of output: it quotes the text at
// fault, which may be long or binary.
std::string syntax_message(std::string message) {
  if (const size_t end = message.find("] ");
      message.starts_with("[json.exception") && end != std::string::npos)
    message.erase(0, end + 2);
  for (char& byte : message)
    if (byte < ' ' || byte > '~') byte = '?';
  constexpr size_t kHead = 160, kTail = 80;
  if (message.size() > kHead + kTail) message.replace(kHead, message.size() - kHead - kTail, " ... ");
  return message;
}

// Builds a Json value from the parser's events and refuses what the library's own builder lets pass: a second
// value under a key, and deep nesting.
class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(const std::string& where, bool one_line) : where_(where), one_line_(one_line) {}

  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }  // no JSON text holds one
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& key) override {
    const auto [entry, added] = open_.back()->get_ref<Json::object_t&>().emplace(std::move(key), nullptr);
    if (!added) fail("{}: the key {} appears twice in one object", where_, shown(entry->first));
    slot_ = &entry->second;
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) override {
    std::string message = syntax_message(error.what());
    // One line is most often a line of a file, whose number `where` tells.
    constexpr std::string_view kFirstLine = "line 1, ";
    if (const size_t at = message.find(kFirstLine); one_line_ && at != std::string::npos)
      message.erase(at, kFirstLine.size());
    fail("{}: {}", where_, message);
  }

 private:
  // Puts a value where the next one belongs: the root, the key just read, or an array's end.
  Json* place(Json value) {
    if (open_.empty()) return &(root_ = std::move(value));
    if (open_.back()->is_object()) return &(*slot_ = std::move(value));
    return &open_.back()->get_ref<Json::array_t&>().emplace_back(std::move(value));
  }
  bool add(Json value) {
    place(std::move(value));
    return true;
  }
  bool open(Json container) {
    if (open_.size() == kMaxDepth) fail("{}: nested deeper than {} levels", where_, kMaxDepth);
    open_.push_back(place(std::move(container)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  const std::string& where_;
  const bool one_line_;
  Json root_;
  std::vector<Json*> open_;  // the containers around the next value; stable, as only the innermost one grows
  Json* slot_ = nullptr;
};

}  // namespace

Json parse_json(std::string_view text, const std::string& where) {
  // The parser takes a NUL byte for the end of the text and would not look at what follows.
  if (const size_t at = text.find('\0'); at != text.npos)
    fail("{}: parse error at byte {}: NUL", where, at + 1);
  if (text.find_first_not_of(" \t\r\n") == text.npos)
    fail("{}: expected JSON, got {}", where, text.empty() ? "nothing" : "white space alone");
  Builder builder(where, text.find('\n') == text.npos);
  Json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

Json read_json(const std::filesystem::path& file) { return parse_json(read_file(file), file.string()); }

void write_json(const std::filesystem::path& file, const OrderedJson& json) {
  std::string text;
  try {
    text = json.dump(2);
  } catch (const OrderedJson::exception& error) {
    fail("{}: cannot write: {}", file.string(), syntax_message(error.what()));
  }
  write_file(file, text + "\n");
}

std::string shown(const Json& json) {
  std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  constexpr size_t kMaxBytes = 60;
  if (text.size() <= kMaxBytes) return text;
  size_t end = kMaxBytes - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // not inside a character
  return text.substr(0, end) + "...";
}

JsonObject::JsonObject(Json json, std::string where) : json_(std::move(json)), where_(std::move(where)) {
  if (!json_.is_object()) fail("{}: expected a JSON object, got {}", where_, shown(json_));
}

JsonObject JsonObject::read(const std::filesystem::path& file) { return {read_json(file), file.string()}; }

const Json* JsonObject::find(const std::string& key) const {
  const auto entry = json_.find(key);
  return entry == json_.end() || entry->is_null() ? nullptr : &*entry;
}

const Json& JsonObject::at(const std::string& key, std::string_view expected) const {
  const Json* value = find(key);
  if (value == nullptr) fail("{}: '{}' is missing, expected {}", where_, key, expected);
  return *value;
}

void JsonObject::mismatch(const std::string& key, std::string_view expected, const Json& got) const {
  fail("{}: '{}': expected {}, got {}", where_, key, expected, shown(got));
}

bool JsonObject::has(const std::string& key) const { return find(key) != nullptr; }

std::string JsonObject::string(const std::string& key) const {
  const Json& value = at(key, "a string");
  if (!value.is_string()) mismatch(key, "a string", value);
  return value.get<std::string>();
}

std::string JsonObject::string(const std::string& key, const std::string& fallback) const {
  return has(key) ? string(key) : fallback;
}

bool JsonObject::boolean(const std::string& key, bool fallback) const {
  const Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) mismatch(key, "true or false", *value);
  return value->get<bool>();
}

double JsonObject::number(const std::string& key) const {
  const Json& value = at(key, "a number");
  if (!value.is_number()) mismatch(key, "a number", value);
  return value.get<double>();
}

double JsonObject::number(const std::string& key, double fallback) const {
  return has(key) ? number(key) : fallback;
}

int64_t JsonObject::integer(const std::string& key, int64_t minimum, int64_t maximum) const {
  const std::string expected = fmt::format("an integer from {} to {}", minimum, maximum);
  const Json& value = at(key, expected);
  std::optional<int64_t> integer;
  if (value.is_number_unsigned()) {
    const auto number = value.get<uint64_t>();
    if (number <= static_cast<uint64_t>(INT64_MAX)) integer = static_cast<int64_t>(number);
  } else if (value.is_number_integer()) {
    integer = value.get<int64_t>();
  } else if (value.is_number_float()) {  // 1e6, 4096.0
    const double number = value.get<double>();
    if (number == std::floor(number) && std::abs(number) <= 0x1p53) integer = static_cast<int64_t>(number);
  }
  if (!integer || *integer < minimum || *integer > maximum) mismatch(key, expected, value);
  return *integer;
}

int64_t JsonObject::integer_or(const std::string& key, int64_t fallback, int64_t minimum,
                               int64_t maximum) const {
  return has(key) ? integer(key, minimum, maximum) : fallback;
}

JsonObject JsonObject::object(const std::string& key) const {
  const Json& value = at(key, "an object");
  if (!value.is_object()) mismatch(key, "an object", value);
  return {value, fmt::format("{}: '{}'", where_, key)};
}

}  // namespace decovec
