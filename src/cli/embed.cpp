#include <charconv>

#include "cli/options.hpp"
#include "cli/terminal.hpp"
#include "decovec/io/lines.hpp"
#include "decovec/io/npy.hpp"
#include "io/error.hpp"
#include "io/file.hpp"
#include "io/json.hpp"

namespace decovec::cli {
namespace {

// What is read before it is encoded: bounds the memory, not the result.
constexpr size_t kBlockTexts = 8192;
constexpr size_t kBlockBytes = size_t{16} << 20;

struct Options {
  ModelOptions model;
  TextOptions text;
  std::filesystem::path input = "-", output = "-";
};

// {"text":…,"embedding":[…]} lines, floats in the shortest form that reads back as the same float32.
std::string json_lines(const std::vector<std::string>& texts, const at::Tensor& rows) {
  std::string lines;
  const int64_t dimensions = rows.size(1);
  const float* value = rows.const_data_ptr<float>();
  for (const std::string& text : texts) {
    lines += "{\"text\":" + Json(text).dump() + ",\"embedding\":[";
    for (int64_t column = 0; column < dimensions; ++column, ++value) {
      char digits[32];
      const auto [end, error] = std::to_chars(digits, digits + sizeof digits, *value);
      if (column > 0) lines += ',';
      lines.append(digits, end);
    }
    lines += "]}\n";
  }
  return lines;
}

// The rows in the form that the output's name asks for.
class Writer {
 public:
  Writer(const std::filesystem::path& output, int64_t dimensions) {
    if (output.extension() == ".npy") {
      npy_.emplace(output, dimensions);
    } else if (output != "-") {
      json_.emplace(output);
    }
  }

  void append(const std::vector<std::string>& texts, const at::Tensor& rows) {
    if (npy_) {
      npy_->append(rows);
    } else if (json_) {
      json_->write(json_lines(texts, rows));
    } else {
      write_stdout(json_lines(texts, rows));
    }
  }

  void finish() {
    if (npy_) npy_->finish();
    if (json_) json_->commit();
  }

 private:
  std::optional<NpyWriter> npy_;
  std::optional<StagedFile> json_;
};

int run(const Options& options) {
  const Embedder model = load_model(options.model);
  EncodeOptions encode = encode_options(options.text, model);
  const std::string name = shown_name(options.input);
  std::error_code differ;
  if (std::filesystem::equivalent(options.input, options.output, differ))
    fail("{}: input and output are the same file; choose another output", name);

  std::optional<InterruptGuard> guard;  // a staged file shall not stay behind
  if (options.output != "-") guard.emplace();
  Writer writer(options.output, encode.dimensions > 0 ? encode.dimensions : model.dimensions());
  Progress progress;
  int64_t done = 0, cut = 0;
  encode.on_truncated = [&](int64_t texts) { cut += texts; };
  encode.on_progress = [&](int64_t of_block, int64_t) {
    throw_if_interrupted();
    progress.count("embed", done + of_block, 0);
  };

  std::vector<std::string> block;
  size_t bytes = 0;
  const auto write_block = [&] {
    if (block.empty()) return;
    const at::Tensor rows = encode_lines(model, block, encode, name, done + 1).contiguous();
    const at::Tensor finite = at::isfinite(rows).all(1);
    if (!finite.all().item<bool>())
      fail("{}:{}: the embedding is not finite; try --dtype float32, or check the model's weights", name,
           done + 1 + finite.to(at::kInt).argmin().item<int64_t>());
    writer.append(block, rows);
    done += static_cast<int64_t>(block.size());
    block.clear();
    bytes = 0;
    throw_if_interrupted();
  };
  for_each_input_line(input_file(options.input), [&](std::string_view line, int64_t) {
    block.emplace_back(line);
    bytes += line.size();
    if (block.size() == kBlockTexts || bytes >= kBlockBytes) write_block();
  });
  write_block();
  writer.finish();
  progress.clear();
  if (cut > 0)
    log_info(fmt::format("{} of {} texts were longer than {} ids and were cut", cut, done,
                         encode.max_length > 0 ? encode.max_length : model.rule.max_length));
  return 0;
}

}  // namespace

Run add_embed(CLI::App& program) {
  auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("embed", "Turn texts, one a line, into vectors");
  add_model_options(*command, options->model);
  add_input_option(*command, options->input);
  command
      ->add_option("--output", options->output,
                   "FILE.npy ([N, D] float32), FILE.jsonl, or - for JSON lines on standard output")
      ->option_text("FILE|- [-]")
      ->check([](const std::string& name) -> std::string {
        const std::filesystem::path extension = std::filesystem::path(name).extension();
        if (name == "-" || extension == ".npy" || extension == ".jsonl") return "";
        return "expected FILE.npy, FILE.jsonl or -, got '" + name + "'";
      });
  add_text_options(*command, options->text, "every text");
  command->footer(R"(
Rows come out in the order of the lines; an empty line is a text too. A line of JSON output is
{"text": "...", "embedding": [...]}. A file appears whole or not at all.

Examples:
  echo "What is the capital of China?" | decovec embed --model my-embedder --prompt-name query
  decovec embed --model my-embedder --input texts.txt --output vectors.npy --truncate right)");
  return [options] { return run(*options); };
}

}  // namespace decovec::cli
