"""What a Python program does with HTTP, as JSON on standard output. Arguments: requests|urllib BASE_URL REFUSED_URL"""

import hashlib
import json
import sys
import urllib.error
import urllib.request

library, base, refused = sys.argv[1:]
BYTES = 3_000_000
body = bytes(range(251)) * (BYTES // 251)
told = {"body_sha256": hashlib.sha256(body).hexdigest()}


def parts():
    for at in range(0, len(body), 65_536):
        yield body[at : at + 65_536]


def failure(call):
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return "none"


def with_requests():
    import requests

    session = requests.Session()
    told["get"] = session.get(f"{base}/hello?a=%2F").json()
    told["post_json"] = session.post(f"{base}/inspect", json={"a": 1}).json()["bodyBytes"]
    told["upload_chunked"] = session.post(f"{base}/upload", data=parts()).json()["sha256"]
    told["upload_length"] = session.put(f"{base}/upload", data=body).json()["sha256"]
    told["head"] = session.head(f"{base}/download?bytes=12345").headers["content-length"]
    told["redirect"] = session.get(f"{base}/redirect?to=/hello&status=307", allow_redirects=False).status_code
    told["encoded"] = session.get(f"{base}/encoded?coding=gzip").headers["content-encoding"]
    told["cookies"] = sorted(session.get(f"{base}/set-cookie").cookies.get_dict())
    told["lines"] = sum(1 for _ in session.get(f"{base}/sse?events=3&gap=1", stream=True).iter_lines())
    digest = hashlib.sha256()
    with session.get(f"{base}/download?bytes={BYTES}", stream=True) as answer:
        for chunk in answer.iter_content(65_536):
            digest.update(chunk)
    told["download_sha256"] = digest.hexdigest()
    told["early"] = failure(lambda: told.update(early_status=session.post(f"{base}/early", data=body).status_code))
    def short():
        # urllib3 before 2 hands out what has come and leaves the comparison with the length to its caller.
        if len(session.get(f"{base}/reset?bytes=100000&after=50000").content) != 100_000:
            raise EOFError

    told["broken_length"] = failure(short)
    told["broken_chunked"] = failure(lambda: session.get(f"{base}/reset?chunked=1&after=50000").content)

    def refuse():
        told["refused_status"] = session.get(refused).status_code
        session.get(refused).raise_for_status()

    told["refused"] = failure(refuse)


def with_urllib():
    def fetch(path, **more):
        return urllib.request.urlopen(urllib.request.Request(base + path, **more))

    told["get"] = json.load(fetch("/hello?a=%2f"))
    told["upload_length"] = json.load(fetch("/upload", data=body, method="PUT"))["sha256"]
    told["upload_chunked"] = json.load(fetch("/upload", data=parts(), method="POST"))["sha256"]
    told["head"] = fetch("/download?bytes=12345", method="HEAD").headers["content-length"]
    told["download_sha256"] = hashlib.sha256(fetch(f"/download?bytes={BYTES}").read()).hexdigest()
    told["broken_length"] = failure(lambda: fetch("/reset?bytes=100000&after=50000").read())
    told["broken_chunked"] = failure(lambda: fetch("/reset?chunked=1&after=50000").read())
    told["refused"] = failure(lambda: urllib.request.urlopen(refused).read())


with_requests() if library == "requests" else with_urllib()
print(json.dumps(told))
