#include "io/pickle.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

#include "decovec/io/lines.hpp"
#include "io/error.hpp"
#include "io/json.hpp"

namespace decovec {
namespace {

constexpr std::string_view kOrderedDict = "collections.OrderedDict";
constexpr size_t kMaxNameBytes = 256;

class PickleMachine {
 public:
  PickleMachine(std::string_view bytes, std::span<const std::string_view> names, const std::string& where)
      : bytes_(bytes), names_(names), where_(where) {}

  Pickle run() {
    if (number<uint8_t>() != 0x80 || number<uint8_t>() != 2)  // PROTO
      broken("expected pickle protocol 2, which torch.save writes unless it is told otherwise");
    while (step()) {
    }
    if (stack_.size() != 1 || !marks_.empty() || at_ != bytes_.size())
      broken("expected one value, and nothing behind it");
    pickle_.root = stack_.back();
    return std::move(pickle_);
  }

 private:
  [[noreturn]] void broken(std::string_view what) const { fail("{}: byte {}: {}", where_, at_, what); }

  template <class Type>
  Type as(const PickleValue& value, std::string_view expected) const {
    if (const Type* found = std::get_if<Type>(&value)) return *found;
    broken(fmt::format("expected {}, got {}", expected, kind_of(value)));
  }

  std::string_view take(size_t size) {
    if (size > bytes_.size() - at_) broken("it ends too early; is the file truncated?");
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }
  template <class Integer>
  Integer number() {  // little-endian
    Integer value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

  void push(PickleValue value) { stack_.push_back(value); }
  // Nothing below the last mark may be taken.
  const PickleValue& top() const {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) broken("a value is missing");
    return stack_.back();
  }
  PickleValue pop() {
    const PickleValue value = top();
    stack_.pop_back();
    return value;
  }
  std::vector<PickleValue> pop_to_mark() {
    if (marks_.empty()) broken("a mark is missing");
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<PickleValue> values(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return values;
  }

  void push_tuple(std::vector<PickleValue> items) {
    push(&pickle_.tuples.emplace_back(PickleTuple{std::move(items)}));
  }
  void push_tuple(size_t size) {
    std::vector<PickleValue> items(size);
    for (size_t i = size; i > 0; --i) items[i - 1] = pop();
    push_tuple(std::move(items));
  }
  void set_items(const std::vector<PickleValue>& pairs) {
    auto& items = as<PickleDict*>(top(), "a dictionary")->items;
    if (pairs.size() % 2 != 0) broken("a key without a value");
    for (size_t i = 0; i < pairs.size(); i += 2) items.emplace_back(pairs[i], pairs[i + 1]);
  }

  // One opcode, with its name in Python's pickletools; false at the end of the program.
  bool step() {
    const auto op = number<uint8_t>();
    switch (op) {
      case '.':  // STOP
        return false;
      case '(':  // MARK
        marks_.push_back(stack_.size());
        return true;
      case ')':  // EMPTY_TUPLE
        push_tuple(0);
        return true;
      case 0x85:  // TUPLE1, TUPLE2, TUPLE3
      case 0x86:
      case 0x87:
        push_tuple(op - 0x84);
        return true;
      case 't':  // TUPLE
        push_tuple(pop_to_mark());
        return true;
      case '}':  // EMPTY_DICT
        push(&pickle_.dicts.emplace_back());
        return true;
      case 's': {  // SETITEM
        const PickleValue value = pop(), key = pop();
        set_items({key, value});
        return true;
      }
      case 'u':  // SETITEMS
        set_items(pop_to_mark());
        return true;
      case 'N':  // NONE
        push({});
        return true;
      case 0x88:  // NEWTRUE, NEWFALSE
      case 0x89:
        push(op == 0x88);
        return true;
      case 'J':  // BININT
        push(int64_t{number<int32_t>()});
        return true;
      case 'K':  // BININT1
        push(int64_t{number<uint8_t>()});
        return true;
      case 'M':  // BININT2
        push(int64_t{number<uint16_t>()});
        return true;
      case 0x8a:  // LONG1
        push(long_integer());
        return true;
      case 'X':  // BINUNICODE
        push(text());
        return true;
      case 'c':  // GLOBAL
        push(name());
        return true;
      case 'R':  // REDUCE
        call();
        return true;
      case 'b':  // BUILD
        set_attributes();
        return true;
      case 'Q':  // BINPERSID
        push(&pickle_.references.emplace_back(PickleReference{pop()}));
        return true;
      case 'q':  // BINPUT
        remember(number<uint8_t>());
        return true;
      case 'r':  // LONG_BINPUT
        remember(number<uint32_t>());
        return true;
      case 'h':  // BINGET
        recall(number<uint8_t>());
        return true;
      case 'j':  // LONG_BINGET
        recall(number<uint32_t>());
        return true;
      default:
        broken(fmt::format(
            "opcode 0x{:02x}: a dictionary of names to tensors has no need of it; save the model's "
            "state_dict() alone",
            op));
    }
  }

  int64_t long_integer() {  // two's complement
    const std::string_view digits = take(number<uint8_t>());
    if (digits.size() > 8) broken("an integer of more than 64 bits");
    uint64_t value = !digits.empty() && (digits.back() & 0x80) != 0 ? ~uint64_t{0} : 0;
    std::memcpy(&value, digits.data(), digits.size());
    return static_cast<int64_t>(value);
  }

  std::string_view text() {
    const std::string_view value = take(number<uint32_t>());
    if (!is_utf8(value)) broken("a text that is not UTF-8");
    return value;
  }

  std::string_view line() {
    const size_t size = bytes_.substr(at_, kMaxNameBytes).find('\n');
    if (size == std::string_view::npos) broken("a name that does not end");
    return take(size + 1).substr(0, size);
  }

  PickleName name() {
    const std::string_view module = line();
    const std::string name = fmt::format("{}.{}", module, line());
    const auto known = std::find(names_.begin(), names_.end(), name);
    if (known == names_.end())
      broken(fmt::format(
          "{} is not allowed here; nothing of a file is run: save the model's state_dict() alone, or "
          "as safetensors",
          is_utf8(name) ? shown(Json(name)) : "a name that is not UTF-8"));
    return {*known};
  }

  void call() {
    const auto* const arguments = as<const PickleTuple*>(pop(), "a tuple of arguments");
    const std::string_view function = as<PickleName>(pop(), "a function's name").name;
    if (function != kOrderedDict) return push(&pickle_.calls.emplace_back(PickleCall{function, arguments}));
    if (!arguments->items.empty()) broken("an OrderedDict with arguments");
    push(&pickle_.dicts.emplace_back());
  }

  // Of a state dict: the versions of the modules that it came from.
  void set_attributes() {
    const auto& attributes = *as<PickleDict*>(pop(), "attributes");
    as<PickleDict*>(top(), "a dictionary");
    // One dictionary may be recalled as attributes again and again: a long one would be read each time.
    if (attributes.items.size() > 8) broken("a dictionary with many attributes");
    for (const auto& [key, value] : attributes.items)
      if (const auto name = as<std::string_view>(key, "a name"); name != "_metadata")
        broken(fmt::format("the attribute {} of a dictionary is not known", shown(Json(std::string(name)))));
  }

  void remember(uint32_t index) {
    // Picklers count from 0; this bounds the memory.
    if (index >= bytes_.size()) broken("an index that is too large for this pickle");
    if (index >= memo_.size()) memo_.resize(size_t{index} + 1);
    memo_[index] = top();
  }
  void recall(uint32_t index) {
    if (index >= memo_.size() || !memo_[index]) broken("an index without a value");
    push(*memo_[index]);
  }

  std::string_view bytes_;
  std::span<const std::string_view> names_;
  const std::string& where_;
  size_t at_ = 0;
  std::vector<PickleValue> stack_;
  std::vector<size_t> marks_;
  std::vector<std::optional<PickleValue>> memo_;
  Pickle pickle_;
};

}  // namespace

Pickle read_pickle(std::string_view bytes, std::span<const std::string_view> names,
                   const std::string& where) {
  if (bytes.size() > kMaxPickleBytes)
    fail("{}: {} bytes, expected at most {}", where, bytes.size(), kMaxPickleBytes);
  return PickleMachine(bytes, names, where).run();
}

std::string_view kind_of(const PickleValue& value) {
  constexpr std::string_view kKinds[] = {"None",    "a boolean",    "an integer", "a text",     "a name",
                                         "a tuple", "a dictionary", "a call",     "a reference"};
  static_assert(std::size(kKinds) == std::variant_size_v<PickleValue>);
  return kKinds[value.index()];
}

}  // namespace decovec
