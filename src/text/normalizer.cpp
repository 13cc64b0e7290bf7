#include "text/normalizer.hpp"

#include <utility>

#include "io/error.hpp"
#include "text/component.hpp"
#include "text/pre_tokenizer.hpp"
#include "text/unicode.hpp"

namespace decovec {
namespace {

using Step = std::function<void(std::string& text, bool& at_origin)>;

// Normal forms grow a text elevenfold at most; replacements after replacements would fill the memory.
void check_growth(size_t from, size_t to) {
  constexpr size_t kMost = 64, kAlways = size_t{1} << 20;
  if (to > kMost * from + kAlways)
    fail(
        "tokenizer.json: 'normalizer': expected it to lengthen a text {} times at most, got {} bytes from {}",
        kMost, to, from);
}

Step prepend(const JsonObject& json) {
  expect_keys(json, {"prepend"});
  std::string head = json.string("prepend");
  if (head.empty()) fail("{}: 'prepend': expected a text that is not empty", json.where());
  return [head = std::move(head)](std::string& text, bool&) {
    if (!text.empty()) text.insert(0, head);
  };
}

Step replace(const JsonObject& json) {
  expect_keys(json, {"pattern", "content"});
  Regex pattern = read_pattern(json);
  if (pattern.matches_empty())
    fail("{}: the pattern can match an empty text, which decovec does not replace", json.where());
  return
      [pattern = std::move(pattern), content = json.string("content")](std::string& text, bool& at_origin) {
        std::vector<Regex::Match> matches;
        pattern.find_all(text, matches);
        if (matches.empty()) return;
        // In the library the replacement stands where the match's last character stood.
        if (const auto [begin, end] = matches.front();
            begin == 0 && (content.empty() || end > utf8_length(text.front())))
          at_origin = false;
        check_growth(text.size(), text.size() + matches.size() * content.size());
        std::string result;
        size_t done = 0;
        for (const auto& [begin, end] : matches) {
          result.append(text, done, begin - done).append(content);
          done = end;
        }
        text = std::move(result.append(text, done));
      };
}

Step normal_form(const JsonObject& json, NormalForm form) {
  expect_keys(json, {});
  return [form](std::string& text, bool&) { normalize(text, form); };
}

Step lower_case(const JsonObject& json) {
  expect_keys(json, {});
  return [](std::string& text, bool&) { lowercase(text); };
}

bool is_white_space(std::string_view text, size_t at) {
  return is_in(CharacterSet::white_space, next_code_point(text, at));
}

Step strip(const JsonObject& json) {
  expect_keys(json, {"strip_left", "strip_right"});
  return [left = read_flag(json, "strip_left"), right = read_flag(json, "strip_right")](std::string& text,
                                                                                        bool& at_origin) {
    size_t begin = 0, end = text.size();
    while (left && begin < end && is_white_space(text, begin)) begin += utf8_length(text[begin]);
    while (right && begin < end) {
      size_t last = end - 1;
      while ((static_cast<unsigned char>(text[last]) & 0xc0) == 0x80) --last;
      if (!is_white_space(text, last)) break;
      end = last;
    }
    if (begin > 0) at_origin = false;
    text.erase(end);
    text.erase(0, begin);
  };
}

Step strip_accents(const JsonObject& json) {
  expect_keys(json, {});
  return [](std::string& text, bool& at_origin) {
    size_t size = ascii_prefix(text);
    for (size_t at = size; at < text.size();) {
      size_t begin = at;
      if (is_in(CharacterSet::mark, next_code_point(text, at))) {
        if (begin == 0) at_origin = false;
      } else {
        while (begin < at) text[size++] = text[begin++];
      }
    }
    text.resize(size);
  };
}

Step byte_level(const JsonObject& json) {
  expect_keys(json, {});
  return [](std::string& text, bool&) {
    std::string result;
    for (const char byte : text) append_utf8(result, byte_level_character(static_cast<unsigned char>(byte)));
    text = std::move(result);
  };
}

void add_steps(const JsonObject& json, std::vector<Step>& steps) {
  const std::string type = json.string("type");
  if (type == "Sequence") {
    expect_keys(json, {"normalizers"});
    return for_each_object(json, "normalizers", [&](const JsonObject& part) { add_steps(part, steps); });
  }
  if (type == "Prepend") return steps.push_back(prepend(json));
  if (type == "Replace") return steps.push_back(replace(json));
  if (type == "NFC") return steps.push_back(normal_form(json, NormalForm::nfc));
  if (type == "NFD") return steps.push_back(normal_form(json, NormalForm::nfd));
  if (type == "NFKC") return steps.push_back(normal_form(json, NormalForm::nfkc));
  if (type == "NFKD") return steps.push_back(normal_form(json, NormalForm::nfkd));
  if (type == "Lowercase") return steps.push_back(lower_case(json));
  if (type == "Strip") return steps.push_back(strip(json));
  if (type == "StripAccents") return steps.push_back(strip_accents(json));
  if (type == "ByteLevel") return steps.push_back(byte_level(json));
  fail(
      "{}: 'type': expected Prepend, Replace, NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, "
      "ByteLevel "
      "or Sequence, got {}",
      json.where(), shown(Json(type)));
}

}  // namespace

Normalizer Normalizer::parse(const JsonObject& json) {
  Normalizer normalizer;
  add_steps(json, normalizer.steps_);
  return normalizer;
}

std::string Normalizer::apply(std::string_view text) const {
  std::string result(text);
  bool at_origin = true;
  apply(result, at_origin);
  return result;
}

void Normalizer::apply(std::string& text, bool& at_origin) const {
  const size_t size = text.size();
  for (const Step& step : steps_) {
    step(text, at_origin);
    check_growth(size, text.size());
  }
}

}  // namespace decovec
