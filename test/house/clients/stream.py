"""Reads server-sent events as they come, a line printed for each, until one says stop: then it closes the answer, says so, and
lives on until its input ends. Arguments: requests|urllib URL"""

import sys
import urllib.request

library, url = sys.argv[1:]
if library == "requests":
    import requests

    answer = requests.get(url, stream=True)
    lines = answer.iter_lines(chunk_size=1)
else:
    answer = urllib.request.urlopen(url)
    lines = (line.rstrip(b"\n") for line in answer)
for line in lines:
    if line:
        print(line.decode(), flush=True)
    if line == b"data: stop":
        break
answer.close()
print("closed", flush=True)
sys.stdin.read()
