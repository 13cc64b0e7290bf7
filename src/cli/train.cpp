#include "decovec/train/train.hpp"

#include <fstream>
#include <stop_token>

#include "cli/options.hpp"
#include "cli/terminal.hpp"
#include "decovec/io/lines.hpp"
#include "decovec/train/recipe.hpp"
#include "decovec/train/report.hpp"
#include "io/error.hpp"
#include "io/file.hpp"
#include "io/file_lock.hpp"
#include "train/checkpoint.hpp"
#include "train/outputs.hpp"

namespace decovec::cli {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

struct Options {
  fs::path recipe;
  std::vector<std::string> overrides;
  bool resume = false;
  std::string device = "cpu";
};

// Beside the output folder, which appears only at the end.
fs::path beside(const fs::path& output, const char* suffix) { return output.string() + suffix; }

// Shows each step, and keeps the log (a line of JSON a step) and the training curve.
class Log {
 public:
  Log(fs::path file, fs::path curve, bool resume)
      : file_(std::move(file)), curve_(std::move(curve)), resume_(resume) {}

  void add(const StepReport& report) {
    if (!out_.is_open()) begin(report.total_step);
    reports_.push_back(report);
    out_ << to_json(report) << '\n' << std::flush;
    if (!out_) fail("{}: cannot write; is the disk full?", file_.string());
    show(report);
    if (Clock::now() - curve_written_ > std::chrono::seconds(30)) write_curve();
  }

  // Draws the curve a last time and takes the progress line away.
  void close() {
    progress_.clear();
    if (!reports_.empty()) write_curve();
  }

  const std::vector<StepReport>& reports() const { return reports_; }

 private:
  // A resumed run keeps the lines of the steps before its first; a line that broke off ends them.
  void begin(int64_t first_step) {
    std::string kept;
    if (resume_ && fs::exists(file_)) {
      try {
        for_each_line(file_, [&](std::string_view line, int64_t number) {
          StepReport report = parse_step_report(line, fmt::format("{}:{}", file_.string(), number));
          if (report.total_step >= first_step) return;
          kept.append(line) += '\n';
          reports_.push_back(std::move(report));
        });
      } catch (const std::runtime_error& error) {
        log_warning(fmt::format("{}; the lines from there on are dropped", error.what()));
      }
    }
    write_file(file_, kept);
    out_.open(file_, std::ios::app | std::ios::binary);
    curve_written_ = Clock::now();
  }

  void write_curve() {
    write_file(curve_, loss_curve_svg(reports_));
    curve_written_ = Clock::now();
  }

  void show(const StepReport& report) {
    const auto line = [&] {
      return fmt::format("{} {}/{}  loss {:.4f}  lr {:.2e}  {:.0f} tokens/s  {} left", report.stage,
                         report.step, report.steps, report.loss, report.learning_rate,
                         report.tokens_per_second, clock_time(report.seconds_left));
    };
    if (shows_progress()) return progress_.show(line);
    const bool edge = report.step == 1 || report.step == report.steps;
    if (!edge && Clock::now() - shown_ < std::chrono::seconds(10)) return;
    log_info(line());
    shown_ = Clock::now();
  }

  fs::path file_, curve_;
  bool resume_;
  std::ofstream out_;
  std::vector<StepReport> reports_;
  Progress progress_;
  Clock::time_point curve_written_{}, shown_{};
};

// As a shell reads it back.
std::string quoted(const std::string& word) {
  if (word.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./=+-,:") ==
      std::string::npos)
    return word;
  std::string text = "'";
  for (const char byte : word) text += byte == '\'' ? std::string("'\\''") : std::string(1, byte);
  return text + "'";
}

std::string resume_command(const Options& options) {
  std::string command = "decovec train " + quoted(options.recipe.string());
  for (const std::string& text : options.overrides) command += " --set " + quoted(text);
  if (options.device != "cpu") command += " --device " + options.device;
  return command + " --resume";
}

std::string what_is_trained(const Recipe& recipe, const Embedder& model) {
  return fmt::format("from {}: {}, {}, pooling {}, {} ids at most, {}",
                     recipe.new_model ? "random weights" : recipe.model.string(),
                     model.transformer.config.family, name_of(model.transformer.config.attention),
                     name_of(model.pooling), model.rule.max_length, name_of(model.dtype()));
}

int run(const Options& options) {
  const Recipe recipe = Recipe::load(options.recipe, options.overrides);
  if (recipe.output.empty())
    fail("{}: expected output = \"FOLDER\", where to write the tuned model, got none",
         options.recipe.string());
  fs::path output = fs::absolute(recipe.output).lexically_normal();
  if (!output.has_filename()) output = output.parent_path();  // "folder/"
  const fs::path checkpoints = beside(output, ".checkpoint"), log_file = beside(output, ".log.jsonl"),
                 curve_file = beside(output, ".loss.svg"), lock_file = beside(output, ".lock");
  std::vector<Output> outputs = {{"output", output},
                                 {"checkpoints", checkpoints},
                                 {"log", log_file},
                                 {"curve", curve_file},
                                 {"lock", lock_file}};
  for (const StageRecipe& stage : recipe.stages)
    if (!stage.output.empty())
      outputs.push_back({fmt::format("output of stage '{}'", stage.name), stage.output});
  check_apart(outputs);

  const FileLock lock(lock_file, "another run writes " + output.string() +
                                     "; wait for its end, or choose another output (--set output=FOLDER)");
  const bool unfinished = newest_checkpoint(checkpoints).has_value();
  if (!is_free(output)) {
    if (!options.resume || !fs::is_directory(output))
      fail("{}: the output folder exists already; remove it, or choose another (--set output=FOLDER)",
           output.string());
    if (unfinished)
      fail("{}: stands beside the unfinished run in {}; remove one of the two", output.string(),
           checkpoints.string());
    log_info(output.string() + ": finished already, nothing to resume");
    return 0;
  }
  if (!options.resume && unfinished)
    fail("{}: an interrupted run left its checkpoint; go on with --resume, or remove that folder",
         checkpoints.string());
  if (options.resume && !unfinished)
    fail("{}: no checkpoint to resume from; start without --resume", checkpoints.string());
  for (const fs::path& file : {log_file, curve_file}) const StagedFile trial(file);  // can it be written?

  const auto started = Clock::now();
  Embedder model = starting_model(recipe, at::Device(options.device));
  Log log(log_file, curve_file, options.resume);
  std::stop_source stop;
  const InterruptGuard guard("\ndecovec: stopping after this step; press Ctrl-C again to stop at once\n");
  const TrainResult result = train(model, recipe,
                                   {.checkpoints = checkpoints,
                                    .resume = options.resume,
                                    .on_step =
                                        [&](const StepReport& report) {
                                          if (log.reports().empty()) log_info(what_is_trained(recipe, model));
                                          log.add(report);
                                          if (interrupted()) stop.request_stop();
                                        },
                                    .stop = stop.get_token()});
  log.close();
  if (result == TrainResult::stopped) {
    const StepReport& last = log.reports().back();
    log_warning(fmt::format("stopped after step {} of {}; go on with: {}", last.total_step, last.total_steps,
                            resume_command(options)));
    return interrupted_status();
  }
  model.save(output, recipe.dtype);
  remove_checkpoints(checkpoints);

  int64_t cut = 0;
  for (const StepReport& report : log.reports()) cut += report.truncated;
  if (cut > 0) log_warning(fmt::format("{} texts were cut at max_length = {}", cut, model.rule.max_length));
  const std::chrono::duration<double> seconds = Clock::now() - started;
  log_info(fmt::format("{}: trained in {}; its steps: {}", output.string(), clock_time(seconds.count()),
                       log_file.string()));
  return 0;
}

}  // namespace

Run add_train(CLI::App& program) {
  auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("train", "Tune a model by a recipe");
  command->add_option("RECIPE.toml", options->recipe, "The recipe")->required()->option_text("(required)");
  command->add_option("--set", options->overrides, "Change a key of the recipe; may be given many times")
      ->option_text("KEY=VALUE")
      ->allow_extra_args(false)
      ->check([](const std::string& text) -> std::string {
        return text.find('=') != std::string::npos && text.front() != '='
                   ? ""
                   : "expected KEY=VALUE, got '" + text + "'";
      });
  command->add_flag("--resume", options->resume, "Go on from the newest checkpoint of an interrupted run");
  add_device_option(*command, options->device);
  command->footer(R"(
Paths in a recipe count from the recipe's folder, those of --set too. A --set of text needs no quotes of its own, and
\n in it is a line break.

Writes the recipe's output folder when training is done, and beside it <output>.log.jsonl (a line a step)
and <output>.loss.svg (the training curve). While training, <output>.checkpoint/step-N/ is the newest checkpoint,
its model/ a model folder for every command. Ctrl-C finishes the step, writes one and exits 130.

Examples:
  decovec train recipe.toml
  decovec train recipe.toml --set stage.retrieval.steps=10 --set output=trial
  decovec train recipe.toml --resume)");
  return [options] { return run(*options); };
}

}  // namespace decovec::cli
