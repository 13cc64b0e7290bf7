// Options that the subcommands share, and the list of subcommands.
#pragma once
#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>

#include "decovec/model/embedder.hpp"

namespace decovec::cli {

/// Runs a subcommand whose options are parsed: the exit status. Throws for a failure.
using Run = std::function<int()>;

// Each adds its subcommand to the program: one file a subcommand.
Run add_embed(CLI::App& program);
Run add_tokenize(CLI::App& program);
Run add_train(CLI::App& program);
Run add_evaluate(CLI::App& program);
Run add_search(CLI::App& program);
Run add_info(CLI::App& program);
Run add_verify(CLI::App& program);

/// Which folder to load, and as what.
struct ModelOptions {
  std::filesystem::path folder;
  std::string dtype = "auto", device = "cpu";
  std::string attention, pooling, dense;  ///< empty: as the folder says
  std::vector<std::filesystem::path> adapters;
  std::filesystem::path base;  ///< empty: as the adapter says
};

/// How texts are encoded.
struct TextOptions {
  std::optional<std::string> prompt, prompt_name;
  std::string suffix;
  int64_t max_length = 0;
  int64_t dimensions = 0;  ///< 0: the model's
  std::string truncate = "error";
  int64_t batch_tokens = EncodeOptions{}.batch_tokens;
};

/// Adds --model (or the positional DIR), --attention, --pooling, --dense, --adapter, --base, and --dtype,
/// --device.
void add_model_options(CLI::App& command, ModelOptions& options, bool positional = false);
/// Adds --device.
void add_device_option(CLI::App& command, std::string& device);
/// Adds --input.
void add_input_option(CLI::App& command, std::filesystem::path& input);
/// Adds --max-length, --truncate, and --prompt, --prompt-name, --suffix, which are for `prompted`: "every
/// text".
void add_sequence_options(CLI::App& command, TextOptions& options, const std::string& prompted);
/// Adds the same, --dimensions and --batch-tokens.
void add_text_options(CLI::App& command, TextOptions& options, const std::string& prompted);

/// Accepts all but the empty text; `what` is expected.
CLI::Validator not_empty(const std::string& what);

/// Accepts whole numbers from `minimum` to `maximum`, read as decimal ("010" is ten).
CLI::Validator whole_number(int64_t minimum, int64_t maximum);

/// Adds --batch-tokens.
void add_batch_option(CLI::App& command, int64_t& batch_tokens);

/// Loads the folder and never draws weights.
Embedder load_model(const ModelOptions& options);
/// `model` resolves --prompt-name; without --prompt and --prompt-name the prompt stays empty.
EncodeOptions encode_options(const TextOptions& options, const Embedder& model);

/// Encodes lines of a file; a text's error names `file` and the line, counted from `first_line`.
at::Tensor encode_lines(const Embedder& model, const std::vector<std::string>& texts,
                        const EncodeOptions& options, const std::string& file, int64_t first_line = 1);

/// Throws the error of a line that cannot become a sequence, with the options that cure it.
[[noreturn]] void fail_line(const std::string& file, int64_t line, const std::string& reason);

/// What --input says; a person at a terminal is told that it waits for texts.
std::filesystem::path input_file(const std::filesystem::path& input);

/// "standard input" for "-".
std::string shown_name(const std::filesystem::path& file);

const char* name_of(Attention attention);
const char* name_of(FolderLayout layout);
const char* name_of(EndOfText eos);
const char* name_of(InstructionPooling instruction);
const char* name_of(at::ScalarType dtype);

}  // namespace decovec::cli
