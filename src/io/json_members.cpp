#include "io/json_members.hpp"

#include <algorithm>

#include "io/error.hpp"
#include "io/json.hpp"

namespace decovec {
namespace {

// Walks over the top level of a JSON text.
class Scanner {
 public:
  Scanner(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  char next() {  // the next character that is no white space; NUL at the end
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
      ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  void expect(char expected) {
    if (next() != expected) fail("{}: expected '{}' at byte {}", where_, expected, at_ + 1);
    ++at_;
  }
  bool ends() { return next() == '\0' && at_ == text_.size(); }

  std::string_view value() {
    next();
    const size_t begin = at_;
    for (size_t depth = 0; at_ < text_.size(); ++at_) {
      const char byte = text_[at_];
      if (byte == '"') {
        skip_string();
      } else if (byte == '{' || byte == '[') {
        ++depth;
      } else if (depth == 0 && (byte == ',' || byte == '}' || byte == ']' || byte == ':')) {
        break;
      } else if (byte == '}' || byte == ']') {
        --depth;
      }
    }
    size_t end = std::min(at_, text_.size());
    while (end > begin && std::string_view(" \t\r\n").find(text_[end - 1]) != std::string_view::npos) --end;
    return text_.substr(begin, end - begin);
  }

 private:
  void skip_string() {  // to its closing quote
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_)
      if (text_[at_] == '\\') ++at_;
  }

  std::string_view text_;
  const std::string& where_;
  size_t at_ = 0;
};

}  // namespace

std::map<std::string, std::string_view> json_members(std::string_view text, const std::string& where) {
  std::map<std::string, std::string_view> members;
  Scanner scanner(text, where);
  scanner.expect('{');
  for (bool first = true; first ? scanner.next() != '}' : scanner.next() == ','; first = false) {
    if (!first) scanner.expect(',');
    const Json key = parse_json(scanner.value(), where);
    if (!key.is_string()) fail("{}: expected a string as a key, got {}", where, shown(key));
    scanner.expect(':');
    const std::string_view value = scanner.value();
    if (!members.emplace(key.get<std::string>(), value).second)
      fail("{}: the key {} appears twice in one object", where, shown(key));
  }
  scanner.expect('}');
  if (!scanner.ends()) fail("{}: expected nothing behind the object", where);
  return members;
}

}  // namespace decovec
