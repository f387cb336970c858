import json
import sys
import traceback


def obey(actions):
    """Does what the test asks for: each line of the input is a name and a list of arguments, each line
    of the output the result. Greets first, and ends with the input."""
    say({"value": {}})
    for line in sys.stdin:
        name, args = json.loads(line)
        try:
            say({"value": actions[name](*args)})
        except Exception:
            say({"error": traceback.format_exc()})


def say(answer):
    print(json.dumps(answer), flush=True)
