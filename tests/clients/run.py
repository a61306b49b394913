"""All tests with other people's clients. The last line is the sum: N passed, N failed, N skipped.

    run.py [NAME ...]     only files (test_NAME.py) or `hvac` of these names
"""

import sys
import unittest
import pathlib

HERE = pathlib.Path(__file__).resolve().parent


class Told(unittest.TestResult):
    """Says each test as it ends."""

    def __init__(self):
        super().__init__()
        self.passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1
        print(f"ok   {test.id()}", flush=True)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print(f"skipped {test.id()}: {reason}", flush=True)

    def addError(self, test, err):
        super().addError(test, err)
        print(f"FAIL {test.id()}\n{self.errors[-1][1]}", flush=True)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        print(f"FAIL {test.id()}\n{self.failures[-1][1]}", flush=True)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is None:
            self.passed += 1
        else:
            print(f"FAIL {subtest.id()}\n{(self.failures + self.errors)[-1][1]}", flush=True)


def main(names):
    sys.path.insert(0, str(HERE))
    passed = failed = skipped = 0
    result = Told()
    for file in sorted(HERE.glob("test_*.py")):
        if not names or file.stem.removeprefix("test_") in names:
            unittest.defaultTestLoader.loadTestsFromName(file.stem).run(result)
    passed, failed, skipped = result.passed, len(result.failures) + len(result.errors), len(result.skipped)
    if not names or "hvac" in names:
        import hvac_suite

        more = hvac_suite.run(lambda text: print(text, flush=True))
        passed, failed, skipped = passed + more[0], failed + more[1], skipped + more[2]
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
