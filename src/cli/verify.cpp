#include <limits>

#include <ATen/ATen.h>

#include "cli/options.hpp"
#include "cli/terminal.hpp"
#include "eval/reference_vectors.hpp"
#include "io/error.hpp"
#include "io/file.hpp"

namespace decovec::cli {
namespace {

constexpr const char* kReferenceFile = "decovec_reference.json";

struct Options {
  ModelOptions model;
  std::filesystem::path reference;
  int64_t batch_tokens = EncodeOptions{}.batch_tokens;
};

// The first text whose ids are others, or none.
std::optional<size_t> other_ids(const Embedder& model, const ReferenceCase& one,
                                const std::string& instruction) {
  for (size_t i = 0; i < one.ids.size(); ++i)
    if (model.sequence(instruction, one.texts[i], Truncate::right).ids != one.ids[i]) return i;
  return std::nullopt;
}

int run(const Options& options) {
  const bool given = !options.reference.empty();
  const std::filesystem::path file = given ? options.reference : options.model.folder / kReferenceFile;
  if (!given && std::filesystem::is_directory(options.model.folder) && !file_exists(file))
    fail(
        "{}: the folder holds no reference vectors; write them with scripts/make_reference.py {}, or name a "
        "file with --reference",
        file.string(), options.model.folder.string());
  const ReferenceVectors reference = read_reference_vectors(file);
  ModelOptions as_made = options.model;
  if (as_made.dtype == "auto") as_made.dtype = reference.dtype;
  const Embedder model = load_model(as_made);

  std::string table = fmt::format("{}: {} vectors{}{}\n", reference.where, reference.dtype,
                                  reference.made_by.empty() ? "" : " of ", reference.made_by);
  table += fmt::format("{:<24}{:>8}{:>22}   {}\n", "prompt", "texts", "largest difference", "ids");
  double furthest = 0;
  bool same_ids = true;
  for (const ReferenceCase& one : reference.cases) {
    EncodeOptions encode{
        .prompt = one.prompt, .truncate = Truncate::right, .batch_tokens = options.batch_tokens};
    if (one.prompt_name) encode.prompt = model.prompt(*one.prompt_name);
    const at::Tensor vectors = model.encode(one.texts, encode);
    if (vectors.size(1) != one.vectors.size(1))
      fail("{}: expected vectors of {} columns, the model gives {}", reference.where, one.vectors.size(1),
           vectors.size(1));
    // nan and inf must not pass: they are no distance
    const double difference =
        (vectors - one.vectors)
            .abs()
            .nan_to_num(std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity())
            .max()
            .item<double>();
    const std::string instruction = encode.prompt.value_or(model.default_instruction());
    const std::optional<size_t> other = other_ids(model, one, instruction);
    const std::string name =
        one.prompt_name ? *one.prompt_name : (one.prompt ? one_line(*one.prompt, 22) : "(none given)");
    table += fmt::format("{:<24}{:>8}{:>22.3g}   {}\n", name, one.texts.size(), difference,
                         one.ids.empty() ? "not stated"
                         : other         ? fmt::format("differ in text {}", *other)
                                         : "equal");
    furthest = std::max(furthest, difference);
    same_ids = same_ids && !other;
  }
  write_stdout(table);
  if (same_ids && furthest <= reference.tolerance) return 0;
  std::string what = "texts become other ids; the tokenizer's files are read differently";
  if (same_ids)
    what =
        fmt::format("a vector differs by {:.3g}, at most {:.3g} are allowed", furthest, reference.tolerance);
  if (const std::string own = name_of(model.dtype()); own != reference.dtype)
    what += fmt::format("; the reference was computed in {}, the model in {}", reference.dtype, own);
  log_error(fmt::format("{}: {}", reference.where, what));
  return 1;
}

}  // namespace

Run add_verify(CLI::App& program) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      program.add_subcommand("verify", "Compare a model's vectors with those that its folder holds");
  add_model_options(*command, options->model, true);
  command
      ->add_option("--reference", options->reference,
                   fmt::format("Reference vectors [DIR/{}]", kReferenceFile))
      ->option_text("FILE");
  add_batch_option(*command, options->batch_tokens);
  command->footer(R"(
The file holds texts, prompts, the vectors another library made of them, the dtype it computed in, and how much
they may differ (docs/verify.md); scripts/make_reference.py writes it with sentence-transformers. --dtype auto is
the file's. Status 1 where a vector differs by more, or a text becomes other ids.

Example:
  decovec verify my-embedder)");
  return [options] { return run(*options); };
}

}  // namespace decovec::cli
