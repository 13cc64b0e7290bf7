#include <algorithm>
#include <fmt/format.h>

#include "decovec/eval/tasks.hpp"
#include "io/json.hpp"

namespace decovec {
namespace {

// Characters, not bytes: folders may have names in any script.
size_t width(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xc0) != 0x80; }));
}

std::string padded(const std::string& text, size_t to, bool right) {
  const std::string space(to - width(text), ' ');
  return right ? space + text : text + space;
}

}  // namespace

std::string table(const std::vector<TaskReport>& reports) {
  std::vector<std::string> header = {"task", "kind"};
  for (const TaskReport& report : reports)
    for (const auto& [metric, figure] : report.metrics)
      if (std::find(header.begin() + 2, header.end(), metric) == header.end()) header.push_back(metric);

  std::vector<std::vector<std::string>> rows = {header};
  for (const TaskReport& report : reports) {
    std::vector<std::string>& row = rows.emplace_back(header.size());
    row[0] = report.task;
    row[1] = report.kind;
    for (const auto& [metric, figure] : report.metrics) {
      const auto column = std::find(header.begin() + 2, header.end(), metric) - header.begin();
      row[static_cast<size_t>(column)] = fmt::format("{:.2f}", 100 * figure);
    }
  }
  std::vector<size_t> widths(header.size());
  for (const auto& row : rows)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));

  std::string text;
  for (size_t r = 0; r < rows.size(); ++r) {
    for (size_t i = 0; i < header.size(); ++i) {
      text += "| ";
      text += padded(rows[r][i], widths[i], i >= 2);
      text += ' ';
    }
    text += "|\n";
    if (r > 0) continue;
    for (size_t i = 0; i < header.size(); ++i) {
      text += '|';
      text.append(widths[i] + 1, '-');
      text += i >= 2 ? ':' : '-';
    }
    text += "|\n";
  }
  return text;
}

std::string to_json(const std::vector<TaskReport>& reports) {
  OrderedJson list = OrderedJson::array();
  for (const TaskReport& report : reports) {
    OrderedJson metrics = OrderedJson::object();
    for (const auto& [metric, figure] : report.metrics) metrics[metric] = figure;
    list.push_back({{"task", report.task},
                    {"kind", report.kind},
                    {"prompt", report.prompt},
                    {"metrics", std::move(metrics)}});
  }
  return list.dump(2, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace decovec
