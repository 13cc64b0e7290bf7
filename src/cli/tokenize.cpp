#include "cli/options.hpp"
#include "cli/terminal.hpp"
#include "decovec/io/lines.hpp"

namespace decovec::cli {
namespace {

struct Options {
  ModelOptions model;
  TextOptions text;
  std::filesystem::path input = "-";
};

int run(const Options& options) {
  const Embedder model = load_model(options.model);
  const EncodeOptions encode = encode_options(options.text, model);
  const std::string instruction = encode.prompt.value_or(model.default_instruction());
  const std::string name = shown_name(options.input);

  std::string lines;
  for_each_input_line(input_file(options.input), [&](std::string_view line, int64_t number) {
    try {
      const TokenSequence sequence =
          model.sequence(instruction, std::string(line) + encode.suffix, encode.truncate, encode.max_length);
      lines += fmt::format("[{}]\n", fmt::join(sequence.ids, ", "));
    } catch (const std::invalid_argument& error) {
      fail_line(name, number, error.what());
    }
    if (lines.size() < (size_t{1} << 16)) return;
    write_stdout(lines);
    lines.clear();
  });
  write_stdout(lines);
  return 0;
}

}  // namespace

Run add_tokenize(CLI::App& program) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      program.add_subcommand("tokenize", "Show the ids that the model gets, special ones included");
  add_model_options(*command, options->model);
  add_input_option(*command, options->input);
  add_sequence_options(*command, options->text, "every text");
  command->footer(R"(
One JSON array of ids a line: the sequence that 'decovec embed' computes with for the same options.

Example:
  echo "Hello" | decovec tokenize --model my-embedder)");
  return [options] { return run(*options); };
}

}  // namespace decovec::cli
