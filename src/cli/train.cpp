#include "decovec/train/train.hpp"

#include <cstdlib>
#include <fstream>
#include <stop_token>

#include "cli/memory_table.hpp"
#include "cli/options.hpp"
#include "cli/terminal.hpp"
#include "decovec/io/lines.hpp"
#include "decovec/train/memory_plan.hpp"
#include "decovec/train/recipe.hpp"
#include "decovec/train/report.hpp"
#include "decovec/world/world.hpp"
#include "io/error.hpp"
#include "io/file.hpp"
#include "io/file_lock.hpp"
#include "train/checkpoint.hpp"
#include "train/outputs.hpp"
#include "world/launch.hpp"
#include "world/ranks.hpp"

namespace decovec::cli {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

struct Options {
  fs::path recipe;
  std::vector<std::string> overrides;
  bool resume = false;
  bool plan = false;
  std::string device = "cpu";
};

// Beside the output folder, which appears only at the end.
fs::path beside(const fs::path& output, const char* suffix) { return output.string() + suffix; }

// "after step 500: sts spearman 0.8123, search ndcg@10 0.4410 (best so far)".
std::string described(const EvaluationReport& report) {
  std::string text;
  for (const EvaluatedSet& set : report.sets)
    for (const auto& [metric, figure] : set.metrics) {
      text += fmt::format("{}{} {} {:.4f}", text.empty() ? "" : ", ", set.name, metric, figure);
      break;  // the main one
    }
  return fmt::format("{}: {}{}",
                     report.total_step == 0 ? std::string("before the first step")
                                            : fmt::format("after step {}", report.total_step),
                     text, report.best ? " (best so far)" : "");
}

// Shows each step and evaluation, and keeps the log (a line of JSON for each) and the training curve.
class Log {
 public:
  Log(fs::path file, fs::path curve, bool resume)
      : file_(std::move(file)), curve_(std::move(curve)), resume_(resume) {}

  void add(const StepReport& report) {
    write(report);
    steps_.push_back(report);
    show(report);
    if (Clock::now() - curve_written_ > std::chrono::seconds(30)) write_curve();
  }

  void add(const EvaluationReport& report) {
    write(report);
    evaluations_.push_back(report);
    progress_.clear();
    log_info(described(report));
    write_curve();
  }

  // Draws the curve a last time and takes the progress line away.
  void close() {
    progress_.clear();
    if (!steps_.empty()) write_curve();
  }

  const std::vector<StepReport>& steps() const { return steps_; }

 private:
  void write(const auto& report) {
    if (!out_.is_open()) begin(report.total_step);
    out_ << to_json(report) << '\n' << std::flush;
    if (!out_) fail("{}: cannot write; is the disk full?", file_.string());
  }

  // A resumed run keeps the lines of the steps before its first; a line that broke off ends them.
  void begin(int64_t first_step) {
    std::string kept;
    if (resume_ && fs::exists(file_)) {
      try {
        for_each_line(file_, [&](std::string_view line, int64_t number) {
          TrainingReport report = parse_report(line, fmt::format("{}:{}", file_.string(), number));
          const bool before = std::visit([&](const auto& of) { return of.total_step < first_step; }, report);
          if (!before) return;
          kept.append(line) += '\n';
          if (auto* step = std::get_if<StepReport>(&report)) steps_.push_back(std::move(*step));
          if (auto* evaluation = std::get_if<EvaluationReport>(&report))
            evaluations_.push_back(std::move(*evaluation));
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
    write_file(curve_, training_curve_svg(steps_, evaluations_));
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
  std::vector<StepReport> steps_;
  std::vector<EvaluationReport> evaluations_;
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

// What starts the ranks; of torchrun and srun only the user knows the rest.
std::string launch_command() {
  const Launch launch = read_launch([](const char* name) { return std::getenv(name); });
  if (launch.launcher.empty()) return "";
  return launch.launcher == "mpirun" ? fmt::format("mpirun -n {} ", launch.size) : launch.launcher + " ... ";
}

std::string resume_command(const Options& options) {
  std::string command = launch_command() + "decovec train " + quoted(options.recipe.string());
  for (const std::string& text : options.overrides) command += " --set " + quoted(text);
  if (options.device != "cpu") command += " --device " + options.device;
  return command + " --resume";
}

std::string what_is_trained(const Recipe& recipe, const Embedder& model, const World& world) {
  std::string adapter;
  if (!model.adapters.empty() && !model.adapters.back().merged)
    adapter = fmt::format(", an adapter of rank {} alone", model.adapters.back().config.rank);
  return fmt::format("from {}: {}, {}, pooling {}, {} ids at most, {}{}{}",
                     recipe.new_model ? "random weights" : recipe.model.string(),
                     model.transformer.config.family, name_of(model.transformer.config.attention),
                     name_of(model.pooling), model.rule.max_length, name_of(model.dtype()), adapter,
                     world.size() > 1 ? fmt::format(", {} ranks", world.size()) : "");
}

// What a run writes beside its output.
struct Places {
  fs::path output, checkpoints, log, curve, lock, best;

  explicit Places(const fs::path& stated) : output(fs::absolute(stated).lexically_normal()) {
    if (!output.has_filename()) output = output.parent_path();  // "folder/"
    checkpoints = beside(output, ".checkpoint");
    log = beside(output, ".log.jsonl");
    curve = beside(output, ".loss.svg");
    lock = beside(output, ".lock");
    best = beside(output, ".best");
  }
};

void check_places(const Places& places, const Recipe& recipe) {
  std::vector<Output> outputs = {{"output", places.output}, {"checkpoints", places.checkpoints},
                                 {"log", places.log},       {"curve", places.curve},
                                 {"lock", places.lock},     {"best model", places.best}};
  for (const StageRecipe& stage : recipe.stages)
    if (!stage.output.empty())
      outputs.push_back({fmt::format("output of stage '{}'", stage.name), stage.output});
  check_apart(outputs);
}

// Throws where there is something that this run would spoil; true where it was finished before, of which
// nothing else is left then.
bool is_finished(const Places& places, bool resume) {
  const std::string output = places.output.string();
  const std::optional<fs::path> newest = newest_checkpoint(places.checkpoints);
  const bool unfinished = newest.has_value();
  if (!is_free(places.output)) {
    if (!resume || !fs::is_directory(places.output))
      fail("{}: the output folder exists already; remove it, or choose another (--set output=FOLDER)",
           output);
    // A kill between the output and the removal of its checkpoint leaves both.
    if (unfinished && !holds_files_of(checkpointed_model(*newest), places.output))
      fail("{}: stands beside the unfinished run in {}; remove one of the two", output,
           places.checkpoints.string());
    remove_checkpoints(places.checkpoints);
    return true;
  }
  if (!resume && unfinished)
    fail("{}: an interrupted run left its checkpoint; go on with --resume, or remove that folder",
         places.checkpoints.string());
  if (resume && !unfinished)
    fail("{}: no checkpoint to resume from; start without --resume", places.checkpoints.string());
  if (!is_free(places.best))
    fail("{}: the best model of an earlier run; remove it, or choose another output (--set output=FOLDER)",
         places.best.string());
  for (const fs::path& file : {places.log, places.curve}) const StagedFile trial(file);  // can it be written?
  return false;
}

// Shows what a run would take, and stops.
int show_plan(const Options& options, World& world) {
  const Recipe recipe = Recipe::load(options.recipe, options.overrides);
  const Embedder model = starting_model(recipe, world.device());
  const std::vector<MemoryPlan> plans = plan_memory(model, recipe, &world);
  if (world.rank() > 0) return 0;
  std::string text;
  for (const std::string& line : memory_table(plans)) text += line + '\n';
  write_stdout(text);
  warn_of_memory(plans, recipe);
  return 0;
}

// Rank 0 alone writes and tells.
int run_rank(const Options& options, World& world) {
  if (options.plan) return show_plan(options, world);
  const bool first = world.rank() == 0;
  std::optional<Recipe> recipe;
  std::optional<Places> places;
  std::optional<FileLock> lock;
  bool finished = false;
  const auto read_recipe = [&] { recipe = Recipe::load(options.recipe, options.overrides); };
  on_first_rank(world, [&] {
    read_recipe();
    if (recipe->output.empty())
      fail("{}: expected output = \"FOLDER\", where to write the tuned model, got none",
           options.recipe.string());
    places.emplace(recipe->output);
    check_places(*places, *recipe);
    lock.emplace(places->lock, "another run writes " + places->output.string() +
                                   "; wait for its end, or choose another output (--set output=FOLDER)");
    finished = is_finished(*places, options.resume);
  });
  if (sum_over_ranks(world, finished ? 1 : 0) > 0) {
    if (first) log_info(places->output.string() + ": finished already, nothing to resume");
    return 0;
  }
  if (!first) {
    read_recipe();
    places.emplace(recipe->output);
  }

  const auto started = Clock::now();
  Embedder model = starting_model(*recipe, world.device());
  Log log(places->log, places->curve, options.resume);
  std::map<std::string, int64_t> tokens;  // with a graph at once, by stage
  for (const StageRecipe& stage : recipe->stages) tokens[stage.name] = stage.micro_batch_tokens;
  std::stop_source stop;
  const InterruptGuard guard(
      first ? "\ndecovec: stopping after this step; press Ctrl-C again to stop at once\n" : "");
  const auto on_start = [&] {
    const std::vector<MemoryPlan> plans = plan_memory(model, *recipe, &world);
    if (!first) return;
    log_info(what_is_trained(*recipe, model, world));
    for (const std::string& line : memory_table(plans)) log_info(line);
    warn_of_memory(plans, *recipe);
  };
  const auto on_evaluation = [&](const EvaluationReport& report) {
    if (first) log.add(report);
    if (interrupted()) stop.request_stop();
  };
  const auto on_step = [&](const StepReport& report) {
    int64_t& before = tokens[report.stage];
    if (first && report.micro_batch_tokens < before)
      log_warning(
          fmt::format("stage '{}', step {}: out of memory; repeated with micro_batch_tokens = {}, as the "
                      "steps that follow: the "
                      "result is the same. Set it to spare the attempt",
                      report.stage, report.step, report.micro_batch_tokens));
    before = report.micro_batch_tokens;
    if (first) log.add(report);
    if (interrupted()) stop.request_stop();
  };
  const TrainResult result = train(model, *recipe,
                                   {.checkpoints = places->checkpoints,
                                    .resume = options.resume,
                                    .on_start = on_start,
                                    .on_step = on_step,
                                    .on_evaluation = on_evaluation,
                                    .stop = stop.get_token(),
                                    .world = &world});
  log.close();
  if (!first) return result == TrainResult::stopped ? interrupted_status() : 0;
  if (result == TrainResult::stopped) {
    const StepReport last = log.steps().empty() ? StepReport() : log.steps().back();
    log_warning(fmt::format("stopped {}; go on with: {}",
                            last.total_step == 0
                                ? std::string("before the first step")
                                : fmt::format("after step {} of {}", last.total_step, last.total_steps),
                            resume_command(options)));
    return interrupted_status();
  }
  const std::optional<fs::path> best = best_model(places->checkpoints);
  if (!best || !recipe->output_best) save_output(model, *recipe, places->output, recipe->dtype);
  if (best) rename_and_flush(*best, recipe->output_best ? places->output : places->best);
  remove_checkpoints(places->checkpoints);

  int64_t cut = 0;
  for (const StepReport& report : log.steps()) cut += report.truncated;
  if (cut > 0) log_warning(fmt::format("{} texts were cut at max_length = {}", cut, model.rule.max_length));
  const std::chrono::duration<double> seconds = Clock::now() - started;
  log_info(fmt::format("{}: trained in {}; its steps: {}", places->output.string(),
                       clock_time(seconds.count()), places->log.string()));
  return 0;
}

// The others would wait for a rank that failed alone.
int run(const Options& options) {
  const std::unique_ptr<World> world = join_world(at::Device(options.device));
  if (world->size() == 1) return run_rank(options, *world);
  try {
    return run_rank(options, *world);
  } catch (const OtherRankFailed&) {
    return 1;
  } catch (const std::exception& error) {
    log_error(fmt::format("rank {}: {}", world->rank(), error.what()));
    world->abort();
    return 1;
  }
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
  command->add_flag("--plan", options->plan, "Show the memory that each stage takes, and stop");
  add_device_option(*command, options->device);
  command->footer(R"(
Paths in a recipe count from the recipe's folder, those of --set too. A --set of text needs no quotes of its own, and
\n in it is a line break.

Writes the recipe's output folder when training is done, and beside it <output>.log.jsonl (a line a step
and a line an evaluation), <output>.loss.svg (the training curve) and, where the recipe names a `best`, the
model that was best as <output>.best. While training, <output>.checkpoint/step-N/ is the newest checkpoint,
its model/ a model folder for every command (where an adapter alone is trained, what --resume needs).
Ctrl-C finishes the step, writes one and exits 130.

Examples:
  decovec train recipe.toml
  decovec train recipe.toml --set stage.retrieval.steps=10 --set output=trial
  decovec train recipe.toml --resume)");
  return [options] { return run(*options); };
}

}  // namespace decovec::cli
