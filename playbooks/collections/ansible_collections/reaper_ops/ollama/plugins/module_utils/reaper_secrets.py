"""Redacts secrets in texts, on hosts and on the controller: passwords, tokens and keys become `***`."""

import re

NAMED = (
    r"(?:token|secret|passw(?:or)?d|passphrase|(?<![a-z])pass|credentials?|signature|(?<=[a-z0-9])_(?:key|pwd)"
    r"|(?:api|access|secret|private)[-_]?key|(?<![a-z])sig)"
    r"(?:[-_](?:v?\d{1,6}|old|new|prev(?:ious)?|backup|bak|prod|dev|test|live|staging|b(?:ase)?64)){0,2}"
)
VALUE = r"(?:\*\*\*(?=\\{1,8}[nrt])|(?:[^\s\0,;&\"'\])}\\]|\\[^\s\0\"'])+)"
"""Also within JSON text: a backslash stays with what it escapes, and quotation marks stay."""
ESCAPED = re.compile(r"\\{1,8}[nrt]")
"""Line ends and tabs of a text that is a string in JSON, also of JSON in JSON."""
SECRETS = tuple(
    (re.compile(pattern, re.IGNORECASE), after)
    for pattern, after in (
        (r"(://[^/\s:\"'\[]{0,99}:)(?!\d{1,5}[/?#])[^\s\0\"']{1,299}@", "@"),
        (r"(://)[^/\s:@\"']{1,299}@", "@"),
        (r"((?<![\w/@.:+-])[\w.+-]{1,99}:)[^\s\0\"'/@:]{1,299}@(?=[\w.-]{1,255}(?::\d{1,5})?/)", "@"),
        (r"(_proxy[=:][\"']?[^/\s:@\"'=]{1,99}:)[^\s\0\"'/]{1,299}@", "@"),
        (r"(authorization[\"']?\s?[:=]\s{0,9}[\[\"']{0,2}(?:(?:bearer|basic|digest|token)\s)?)" + VALUE, ""),
        (r"(\bbearer\s)(?=\S{0,99}\d)[\w.~+/=-]{8,}", ""),
        (
            r"("
            + NAMED
            + r"(?:=[\"']?|\\{0,2}[\"']\s{0,9}:\s{0,9}\\{0,2}[\"']))(?:(?<=[\"'])[^\"'\\\0\n]+|"
            + VALUE
            + ")",
            "",
        ),
        (r"(\"auth\\{0,2}\"\s{0,9}:\s{0,9}\\{0,2}\")[^\"\\]+", ""),
        (r"((?:[-_](?:token|secret|pass)|api[-_]key|passw(?:or)?d|passphrase):\s{0,9}[\"']?)" + VALUE, ""),
        (r"(\b(?:password|passphrase|token|secret)\s(?:is|was):?\s[\"']?)(?=\S{0,99}\d)" + VALUE, ""),
        (r"(cookie\\{0,2}[\"']?\s?[:=]\s{0,9}\[?\\{0,2}[\"']?)[^\r\n\0\"'\\]{1,4096}", ""),
        (r"(\blogin\s{1,9}\S{1,99}\s{1,9}password\s{1,9})" + VALUE, ""),
        (r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----)[A-Za-z0-9+/=\s\\]{1,20000}", ""),
        (r"((?<![\w-])--(?:\w[\w-]{0,30}?)?" + NAMED + r"[\s\0])" + VALUE, ""),
        (r"\b((?:AKIA|ASIA))[A-Z0-9]{16}\b", ""),
        (r"\b(hf_|gh[opsur]_|github_pat_|glpat-|sk-|sk_live_|nvapi-|xox[abprs]-|npm_|dckr_pat_|AIza)[\w-]{16,}", ""),
    )
)


def logins(texts):
    """`USER:PASSWORD` and tokens of URLs, for Ansible to hide wherever a module's answer has them."""
    places = (text.partition("://")[2] if "://" in text else text for text in texts if text)
    found = (place.partition("/")[0].rpartition("@")[0] for place in places)
    return {login for login in found if ":" in login or len(login) > 7}


def redact(text):
    """The text with `***` in place of secrets. Do this before a text is cut: a part of a secret has no mark."""
    if ESCAPED.search(text):
        text = redact_lines(text)
    for pattern, after in SECRETS:
        text = pattern.sub(r"\1***" + after, text)
    return text


def redact_lines(text):
    """Redacts a text with escaped line ends as if they were line ends, so that a value reaches no further."""
    lines = ESCAPED.sub(lambda escape: "\n" + " " * (len(escape[0]) - 1), text)
    spans = [
        (found.end(1), found.end() - len(after)) for pattern, after in SECRETS for found in pattern.finditer(lines)
    ]
    parts, done = [], 0
    for start, end in sorted(spans):
        if start >= done:
            parts += [text[done:start], "***"]
        done = max(done, end)
    return "".join([*parts, text[done:]])


def brief(text, limit):
    """At most `limit` characters, redacted before they are cut: the first, or with a negative limit the last."""
    text = redact(text)
    return text[:limit] if limit > 0 else text[limit:]


def redact_words(words):
    """Redacts a command line, in which a word may name what the next one is."""
    return redact("\0".join(map(str, words))).split("\0") if words else []
