#!/usr/bin/env python3
"""`decovec train` on several ranks, which mpirun starts. Needs what cli_test.py needs, and mpirun as MPIRUN."""

import json
import os
import signal
import subprocess
import time
import unittest

import cli_test
from cli_test import PROGRAM, Case, wait_for, write_recipe

MPIRUN = [os.environ["MPIRUN"], "--oversubscribe", "--bind-to", "none"]
if os.geteuid() == 0:
    MPIRUN.append("--allow-run-as-root")


def setUpModule():
    cli_test.setUpModule()


def tearDownModule():
    cli_test.tearDownModule()


class Ranks(Case):
    def arguments(self, output, steps, *more):
        recipe = write_recipe(f"ranks{steps}.toml", steps=steps)
        return ["train", str(recipe), "--set", f"output='{self.folder / output}'", *more]

    def on_ranks(self, ranks, arguments):
        done = subprocess.run(
            [*MPIRUN, "-n", str(ranks), PROGRAM, *arguments], capture_output=True, timeout=300, text=True
        )
        return done.returncode, done.stdout, done.stderr

    def weights(self, output):
        return (self.folder / output / "model.safetensors").read_bytes()

    def losses(self, output):
        lines = (self.folder / f"{output}.log.jsonl").read_text().splitlines()
        return [json.loads(line)["loss"] for line in lines]

    def test_ranks_train_what_one_process_trains(self):
        for ranks in [1, 2, 3]:
            status, out, err = self.on_ranks(ranks, self.arguments(f"by{ranks}", 5))
            self.assertEqual((status, out), (0, ""), err)
            lines = [line for line in err.splitlines() if "decovec" in line]  # others are mpirun's
            self.assertTrue(all(line.startswith("decovec: info: ") for line in lines), err)
            self.assertEqual(sum("retrieval 5/5" in line for line in lines), 1, err)
            self.assertEqual(f"{ranks} ranks" in err, ranks > 1)
        for ranks in [2, 3]:
            for a, b in zip(self.losses("by1"), self.losses(f"by{ranks}"), strict=True):
                self.assertAlmostEqual(a, b, delta=1e-4 * a)
        self.only(*[f"by{n}{end}" for n in [1, 2, 3] for end in ["", ".log.jsonl", ".loss.svg"]])

    def test_a_mistake_is_told_once(self):
        status, out, err = self.on_ranks(3, ["train", str(self.folder / "none.toml")])
        self.assertEqual((status, out), (1, ""))
        self.assertEqual(err.count("decovec: error: "), 1, err)
        self.assertIn("none.toml", err)

    def test_a_rank_that_fails_alone_ends_all(self):
        good = [PROGRAM, *self.arguments("q", 100000)]
        bad = [PROGRAM, "train", str(self.folder / "none.toml")]
        done = subprocess.run(
            [*MPIRUN, "-n", "1", *good, ":", "-n", "1", *bad], capture_output=True, timeout=120, text=True
        )
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("decovec: error: rank 1: ", done.stderr)
        self.assertIn("none.toml", done.stderr)

    def test_more_ranks_than_queries_are_refused(self):
        status, out, err = self.on_ranks(5, self.arguments("q", 2))
        self.assertEqual((status, out), (1, ""))
        self.assertIn("batch_size", err)

    def start(self, arguments):
        process = subprocess.Popen([*MPIRUN, "-n", "2", PROGRAM, *arguments], stderr=subprocess.PIPE, text=True)
        self.addCleanup(lambda: (process.kill(), process.communicate()))
        return process

    def children(self, process):
        listed = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(process.pid)], capture_output=True, text=True)
        return [int(line.split()[0]) for line in listed.stdout.splitlines() if line.split()[1] == "decovec"]

    def test_a_killed_rank_ends_all_and_the_run_resumes_bit_for_bit(self):
        self.assertEqual(self.on_ranks(2, self.arguments("whole", 400))[0], 0)
        process = self.start(self.arguments("q", 400))
        wait_for(lambda: list((self.folder / "q.checkpoint").glob("step-*/training.json")))
        os.kill(self.children(process)[1], signal.SIGKILL)
        process.communicate(timeout=60)
        self.assertNotEqual(process.returncode, 0)
        self.assertFalse((self.folder / "q").exists())
        status, out, err = self.on_ranks(2, self.arguments("q", 400, "--resume"))
        self.assertEqual((status, out), (0, ""), err)
        self.assertEqual(self.weights("q"), self.weights("whole"))
        self.assertEqual(self.losses("q"), self.losses("whole"))

    def test_ctrl_c_leaves_a_checkpoint(self):
        process = self.start(self.arguments("q", 100000))
        wait_for(lambda: (self.folder / "q.log.jsonl").exists() and len(self.losses("q")) > 25)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        self.assertNotEqual(process.returncode, 0)
        self.assertIn("go on with: mpirun -n 2 decovec train", err)
        self.assertFalse((self.folder / "q").exists())


if __name__ == "__main__":
    unittest.main()
