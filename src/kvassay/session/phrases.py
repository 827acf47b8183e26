"""The words of the synthetic session: data only. ``{…}`` are filled with values of the corpus."""

from __future__ import annotations

SYMPTOMS = (
    "wrong error position", "wrong exit code", "slow start", "slow shutdown", "leaked handle", "memory leak",
    "ignored timeout", "ignored encoding", "endless loop", "lost last line", "lost trailing zeros", "empty name",
    "negative size", "misspelt message", "misspelt option", "missing return value", "missing type check",
    "race on shutdown", "race on reload", "double close", "double count", "crash on long paths", "wrong default port",
    "wrong default mode", "stale cache entry", "stale lock file", "off-by-one error", "broken pipe", "deadlock",
    "unclear warning",
)  # fmt: skip

JOB_KINDS = (
    "nightly build", "benchmark", "lint check", "coverage report", "package build", "docs build", "fuzz run",
    "smoke test", "release build", "profile", "type check", "install test", "migration", "backup",
)  # fmt: skip

TICKET_STATES = ("open", "in_progress", "blocked")
JOB_STATES = ("running", "queued", "failed", "stopped")

OPENING = "We go on with the work on {folder}. Which tickets and jobs are open?"
OPENING_REMARK = "{tickets} tickets and {jobs} jobs are listed."

READ_REQUESTS = (
    "Read lines {first} to {last} of {path}.",
    "Show me {path} from line {first} to {last}.",
    "Have a look at {path}, lines {first}-{last}.",
    "I need to understand {path}. Start with lines {first} to {last}.",
    "Open {path} at line {first}, up to {last}.",
    "What does {path} do in lines {first} to {last}?",
)
READ_REMARKS = (
    "{name} is shown up to line {last}.",
    "Those were lines {first} to {last} of {name}.",
    "I have read {name} up to line {last} of {total}.",
    "That part of {name} is clear.",
    "Noted: {name}, {count} lines read.",
)
SEARCH_REQUESTS = (
    "Where is {word} used in {folder}?",
    "Find the places in {folder} that mention {word}.",
    "Search {folder} for {word}.",
)
SEARCH_REMARKS = ("{word} occurs in {count} places there.", "{count} hits for {word}.", "I see {count} uses of {word}.")
DEFINITION_REQUESTS = (
    "Which {keyword} definitions are there in {folder}?",
    "List the {keyword} definitions in {folder}.",
)
DEFINITION_REMARKS = ("{count} definitions, the first one is {word}.", "I found {count}, from {word} on.")
LIST_REQUESTS = ("What is in {folder}?", "List {folder}.", "Which files does {folder} have?")
LIST_REMARKS = ("{folder} has {count} entries.", "{count} files, {name} among them.")
EDIT_REQUESTS = (
    "In {path}, change `{old}` to `{new}`.",
    "Please put `{new}` in place of `{old}` in {path}.",
    "{path}: `{old}` should read `{new}`.",
)
EDIT_REMARKS = ("{name} is changed.", "Done, {name} reads `{new}` now.", "The change in {name} is made.")
TEST_REQUESTS = ("Run the tests of {name}.", "Do the tests for {name} still pass?", "Test {name} again, please.")
TEST_FAILURES = ("expected {a}, got {b}", "{a} items wanted, {b} found", "timed out after {a} ms (limit {b} ms)")
TEST_REMARKS_PASS = ("All {count} tests of {name} pass.", "{name}: {count} passed.")
TEST_REMARKS_FAIL = (
    "One test of {name} fails at line {line}.",
    "{count} pass, one fails: {case}.",
    "{case} fails; the others pass.",
)
TICKET_REQUESTS = ("What does ticket {id} say?", "Show me ticket {id}.", "Read {id} to me.")
TICKET_NOTES = (
    "Seen with {name} at line {line}: `{code}`.",
    "Only when `{code}` runs twice ({name}, line {line}).",
    "Started after the change of `{code}` in {name}.",
    "Reported by two users; {name}:{line} is where it shows: `{code}`.",
)
TICKET_REMARKS = ("{id} points at {name}.", "{id} is about line {line} of {name}.")
LOG_REQUESTS = ("What did job {id} print?", "Look at the output of {id}.", "Show the log of {id}.")
LOG_REMARKS = ("{id} stopped in {name}.", "The log of {id} ends at line {line} of {name}.")
WRONG_PATH_REMARKS = ("The path was misspelt; {name} is read now.", "Found it: {path}, lines {first} to {last}.")
