#pragma once
#include <optional>
#include <string_view>
#include <vector>

#include "text/code_point_table.hpp"

namespace decovec {

/// A set of code points.
class CodePointSet {
 public:
  struct Range {
    char32_t first, last;
    auto operator<=>(const Range&) const = default;
  };

  CodePointSet() = default;
  CodePointSet(char32_t first, char32_t last) : ranges_{{first, last}} {}
  explicit CodePointSet(char32_t one) : CodePointSet(one, one) {}
  static CodePointSet all() { return {0, kCodePoints - 1}; }
  /// What Oniguruma's \p{name} matches, by the pinned library's Unicode version; none for a name that is not
  /// known here: general categories, POSIX's names, some scripts.
  static std::optional<CodePointSet> named(std::string_view name);

  /// Sorted, with a gap between one and the next.
  const std::vector<Range>& ranges() const { return ranges_; }
  bool empty() const { return ranges_.empty(); }
  bool contains(char32_t code_point) const;
  auto operator<=>(const CodePointSet&) const = default;

  CodePointSet operator~() const;
  friend CodePointSet operator|(const CodePointSet& a, const CodePointSet& b);
  friend CodePointSet operator&(const CodePointSet& a, const CodePointSet& b) { return ~(~a | ~b); }
  CodePointSet& operator|=(const CodePointSet& other) { return *this = *this | other; }
  CodePointSet& operator&=(const CodePointSet& other) { return *this = *this & other; }

 private:
  std::vector<Range> ranges_;
};

}  // namespace decovec
