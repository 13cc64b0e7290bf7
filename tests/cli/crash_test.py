#!/usr/bin/env python3
"""`decovec train` that is killed, or whose disk is full, at any moment. Needs what cli_test.py needs."""

import json
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import time
import unittest

import cli_test
from cli_test import PROGRAM, Case, decovec, wait_for, write_recipe

STEPS = 40


def setUpModule():
    cli_test.setUpModule()


def tearDownModule():
    cli_test.tearDownModule()


class Crashes(Case):
    def arguments(self, output, *more):
        recipe = write_recipe("crash.toml", pooling="latent_attention", steps=STEPS)
        sizes = ["model.new.hidden_size=128", "model.new.intermediate_size=512"]  # saving takes a while
        sets = [f"output='{output}'", "dtype='bfloat16'", "checkpoint_every=2", *sizes, *more]
        return ["train", str(recipe), *(part for text in sets for part in ["--set", text])]

    def whole(self):
        """What a run that nothing interrupts makes, and how long it takes."""
        if not hasattr(Crashes, "made"):
            Crashes.made = pathlib.Path(self.folder.parent) / "whole"
            began = time.monotonic()
            status, out, err = decovec(*self.arguments(Crashes.made))
            self.assertEqual((status, out), (0, ""), err)
            Crashes.seconds = time.monotonic() - began
        return Crashes.made, Crashes.seconds

    def steps(self, output):
        """The checkpoints that are there, by their steps."""
        found = pathlib.Path(f"{output}.checkpoint").glob("step-*/training.json")
        return sorted(int(file.parent.name.removeprefix("step-")) for file in found)

    def staged(self, output):
        return list(pathlib.Path(f"{output}.checkpoint").glob(".decovec-*"))

    def expect_usable(self, output):
        """Each checkpoint that a crash left holds a model that embeds."""
        for step in self.steps(output):
            model = pathlib.Path(f"{output}.checkpoint") / f"step-{step}" / "model"
            status, out, err = self.embed(model=model, stdin="x")
            self.assertEqual(status, 0, err)

    def expect_same(self, output):
        whole, _ = self.whole()
        for file in whole.rglob("*"):
            if file.is_file():
                self.assertEqual((output / file.relative_to(whole)).read_bytes(), file.read_bytes(), file)
        facts = [
            [(line["total_step"], line["loss"], line["gradient_norm"]) for line in map(json.loads, log.read_text().splitlines())]
            for log in [pathlib.Path(f"{whole}.log.jsonl"), pathlib.Path(f"{output}.log.jsonl")]
        ]
        self.assertEqual(*facts)
        self.assertFalse(pathlib.Path(f"{output}.checkpoint").exists())

    def start(self, output):
        more = ["--resume"] if self.steps(output) else []
        process = subprocess.Popen([PROGRAM, *self.arguments(output), *more], stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (process.kill(), process.wait()))
        return process

    def finish(self, output):
        more = ["--resume"] if self.steps(output) else []
        status, out, err = decovec(*self.arguments(output), *more)
        self.assertEqual((status, out), (0, ""), err)
        self.expect_same(output)

    def test_kills_at_random_moments_change_nothing(self):
        _, seconds = self.whole()
        draw = random.Random(os.environ.get("DECOVEC_TEST_SEED", 7))
        for run in range(3):
            output = self.folder / f"q{run}"
            for _ in range(3):
                process = self.start(output)
                time.sleep(draw.uniform(0.1, 0.9) * seconds)
                process.kill()
                process.wait()
                if output.exists():
                    break
                self.expect_usable(output)
            if not output.exists():
                self.finish(output)
            self.assertEqual(decovec(*self.arguments(output), "--resume")[0], 0)
            self.expect_same(output)

    def test_a_kill_between_the_output_and_its_checkpoint_leaves_a_finished_run(self):
        whole, _ = self.whole()
        output = self.folder / "q"
        checkpoint = pathlib.Path(f"{output}.checkpoint") / "step-40"
        shutil.copytree(whole, output)
        shutil.copytree(whole, checkpoint / "model")
        (checkpoint / "training.json").write_text("{}")
        status, out, err = decovec(*self.arguments(output), "--resume")
        self.assertEqual((status, out), (0, ""), err)
        self.assertIn("finished already", err)
        self.only("q", "q.lock") if (self.folder / "q.lock").exists() else self.only("q")
        shutil.copytree(whole, checkpoint / "model")
        (checkpoint / "training.json").write_text("{}")
        with open(checkpoint / "model" / "model.safetensors", "r+b") as other:
            other.seek(-1, os.SEEK_END)
            other.write(b"x")
        self.refused(decovec(*self.arguments(output), "--resume"), "beside the unfinished run")

    def test_kills_in_the_midst_of_saving_change_nothing(self):
        self.whole()
        output = self.folder / "q"
        hits = 0
        for _ in range(40):
            process = self.start(output)
            before = {path.name for path in self.staged(output)}
            is_new = lambda path: path.name not in before and (path / "model").exists()
            while process.poll() is None and not any(map(is_new, self.staged(output))):
                pass
            process.kill()
            process.wait()
            if output.exists():
                break
            hits += any(map(is_new, self.staged(output)))
            self.expect_usable(output)
            if hits == 3:
                break
        self.assertGreaterEqual(hits, 1, "no kill came while a checkpoint was being written")
        self.finish(output)

    def interrupted_run(self, output):
        """A run that Ctrl-C stopped somewhere: the step of its one checkpoint."""
        process = self.start(output)
        wait_for(lambda: self.steps(output))
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(120), 130)
        (step,) = self.steps(output)
        return step

    def expect_kept(self, output, step, result, *words):
        status, out, err = result
        self.assertEqual((status, out), (1, ""), err)
        for word in [f"{output}.checkpoint", *words]:
            self.assertIn(word, err.splitlines()[-1])
        self.assertEqual(self.steps(output), [step])
        self.assertEqual(self.staged(output), [])
        self.expect_usable(output)
        self.assertFalse(output.exists())

    def test_a_file_that_may_not_grow_leaves_the_checkpoint_before_it(self):
        self.whole()
        output = self.folder / "q"
        step = self.interrupted_run(output)
        state = pathlib.Path(f"{output}.checkpoint") / f"step-{step}" / "optimizer.safetensors"
        limit = state.stat().st_size - 100
        result = decovec(
            *self.arguments(output),
            "--resume",
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )
        self.expect_kept(output, step, result, "optimizer.safetensors", "ulimit", "resume")
        self.finish(output)

    def test_a_full_disk_leaves_the_checkpoint_before_it(self):
        whole, _ = self.whole()
        disk = self.folder / "disk"
        disk.mkdir()
        output = disk / "q"
        step = self.interrupted_run(output)
        checkpoint = sum(file.stat().st_size for file in pathlib.Path(f"{output}.checkpoint").rglob("*") if file.is_file())
        kept = self.folder / "kept"
        disk.rename(kept)
        disk.mkdir()
        # Room for the checkpoint that is there and half of the next one.
        size = f"size={checkpoint * 3 // 2 + (64 << 10)}"
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(disk)], capture_output=True, text=True)
        if mounted.returncode != 0:
            self.skipTest("needs the right to mount a small disk: " + mounted.stderr.strip())
        self.addCleanup(lambda: subprocess.run(["umount", str(disk)]))
        shutil.copytree(kept, disk, dirs_exist_ok=True)
        result = decovec(*self.arguments(output), "--resume")
        self.expect_kept(output, step, result, "No space left", "free", "resume")
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        self.finish(output)


if __name__ == "__main__":
    unittest.main()
