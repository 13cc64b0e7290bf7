// Python's pickles as data.
#pragma once
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace decovec {

struct PickleTuple;
struct PickleDict;
struct PickleCall;
struct PickleReference;

/// A function or a class, which the file means by its name: "torch.FloatStorage".
struct PickleName {
  std::string_view name;
};

/// None, or one of what a pickle may hold here. The pointers lead into the Pickle that it came from, the
/// texts into the bytes that were read.
using PickleValue = std::variant<std::monostate, bool, int64_t, std::string_view, PickleName,
                                 const PickleTuple*, PickleDict*, const PickleCall*, const PickleReference*>;

struct PickleTuple {
  std::vector<PickleValue> items;
};
struct PickleDict {
  std::vector<std::pair<PickleValue, PickleValue>> items;  // in the order of the file; keys may come twice
};
/// What the file wants a function to make of arguments.
struct PickleCall {
  std::string_view function;
  const PickleTuple* arguments;
};
/// What lies outside of the pickle, by the file's own description of it.
struct PickleReference {
  PickleValue what;
};

/// One pickle. Its values stand in lists here, so that nothing is nested in memory, however the file nests
/// it.
struct Pickle {
  PickleValue root;
  std::deque<PickleTuple> tuples;
  std::deque<PickleDict> dicts;
  std::deque<PickleCall> calls;
  std::deque<PickleReference> references;
};

/// The largest pickle that is read, in bytes: the names of some 50,000 tensors.
constexpr size_t kMaxPickleBytes = size_t{8} << 20;

/// Reads a pickle in protocol 2, which torch.save writes, without calling anything.
///
/// A pickle is a program. This machine has the opcodes that dictionaries, tuples, texts, integers, booleans,
/// calls and references need, of functions and classes the given names alone ("collections.OrderedDict" among
/// them makes a dictionary), and no attributes but `_metadata` of a dictionary, which it leaves out. It
/// throws std::runtime_error "where: byte N: ..." for everything else. Memory and time grow linearly with the
/// pickle.
Pickle read_pickle(std::string_view bytes, std::span<const std::string_view> names, const std::string& where);

/// "a tuple", "an integer": for error messages.
std::string_view kind_of(const PickleValue& value);

}  // namespace decovec
