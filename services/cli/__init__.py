"""`planner-webhooks`: one module per noun, about twenty lines a command; talks to the API.

Nothing but results on stdout; progress and hints on stderr. Exit codes: 0 done, 1 the answer is no,
2 wrong usage or settings that can't be used, 3 nobody answers, 4 refused by the API, 130 interrupted.
"""
