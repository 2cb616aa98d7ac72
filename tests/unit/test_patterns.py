"""Which pattern a URL matches, and that nothing but scheme, host, port and path decides it."""

from __future__ import annotations

import random
import re
import sys
import threading

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from requests_connection_manager import patterns
from requests_connection_manager.origins import Origin, origin_of, split
from requests_connection_manager.patterns import PatternIndex, UrlPattern


def matches(pattern, url):
    """Ask pattern and index, which must agree."""
    alone = UrlPattern.compile(pattern).matches(*split(url))
    index = PatternIndex({pattern: 1})
    for _ in range(2):  # the second time from the cache
        assert (index.find(url) is not None) == alone
    return alone


# -- origins


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://h/", ("http", "h", 80)),
        ("https://h", ("https", "h", 443)),
        ("HTTPS://API.Example.COM:8443/V1", ("https", "api.example.com", 8443)),
        ("https://h:443/", ("https", "h", 443)),
        ("https://h:0443/", ("https", "h", 443)),
        ("https://h:/", ("https", "h", 443)),
        ("https://h?x=/@y", ("https", "h", 443)),
        ("https://h#@y", ("https", "h", 443)),
        ("https://u:p@h:1/", ("https", "h", 1)),
        ("https://u@x@h/", ("https", "h", 443)),
        ("https://h./", ("https", "h", 443)),
        ("https://my_host/", ("https", "my_host", 443)),
        ("https://bücher.example/", ("https", "xn--bcher-kva.example", 443)),
        ("https://BÜCHER.example/", ("https", "xn--bcher-kva.example", 443)),
        ("https://XN--BCHER-kva.example/", ("https", "xn--bcher-kva.example", 443)),
        ("http://[::1]/", ("http", "[::1]", 80)),
        ("http://[0:0::0:1]:8080/", ("http", "[::1]", 8080)),
        ("http://[FE80::1%25eth0]/", ("http", "[fe80::1%eth0]", 80)),
        ("http://[fe80::1%eth0]/", ("http", "[fe80::1%eth0]", 80)),
        ("  http://h/", ("http", "h", 80)),
        ("ftp://h/", ("ftp", "h", 0)),
        ("ftp://h:21/", ("ftp", "h", 21)),
    ],
)
def test_origin(url, origin):
    assert origin_of(url) == origin
    assert split(url)[0] == Origin(*origin)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h/v1",
        "http:",
        "http:h",
        "http:/h",
        "http:///h",
        "http://",
        "http://:80/",
        "http://h:x/",
        "http://h:99999/",
        "http://h:-1/",
        "http://h:+80/",
        "http://h:8 0/",
        "http://h:٣/",
        "http://h..x/",
        "http://.h/",
        "http://h../",
        "http://h x/",
        "http://h\n/",
        "http://h\tx/",
        "http://h\\x/",
        "http://h\\@x/",
        "http://h%2Ex/",
        "http://h%2Fx/",
        "http://[::1/",
        "http://::1/",
        "http://[::1]x/",
        "http://[h]/",
        "http://*.h/",
        "http://℀.test/",
        "http://\ud800/",
        "http+unix://%2Fvar%2Frun/x",
        "mailto:a@b",
        "data:,x",
    ],
)
def test_odd_urls_lead_nowhere_but_do_not_raise(url):
    origin = origin_of(url)
    assert re.fullmatch(r"\?[0-9a-f]{16}", origin.host)
    assert origin.port == 0
    assert not matches("h", url)
    assert not matches("*.x", url)
    assert not matches(re.compile(".*"), url)


def test_odd_hosts_are_equal_for_equal_text_only():
    assert origin_of("http://a\\@h/") == origin_of("http://a\\@h/x?y")
    assert origin_of("http://a\\@h/") != origin_of("http://b\\@h/")
    assert "secret" not in repr(origin_of("http://user:secret\\@h/"))


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("", "/"),
        ("/", "/"),
        ("/v1/", "/v1/"),
        ("//v1//x", "//v1//x"),
        ("/v1/../admin", "/admin"),
        ("/v1/./x", "/v1/x"),
        ("/../../x", "/x"),
        ("/v1/..", "/"),
        ("/v1/.", "/v1/"),
        ("/v1/x/..", "/v1/"),
        ("/v1/%2e%2E/admin", "/admin"),
        ("/v1/.%2e/admin", "/admin"),
        ("/v1/%252e%252e/admin", "/v1/%252e%252e/admin"),
        ("/v1/..%2fadmin", "/v1/..%2Fadmin"),
        ("/v1/...", "/v1/..."),
        ("/v1/.x/..y", "/v1/.x/..y"),
        ("/%75sers", "/users"),
        ("/a%2fb", "/a%2Fb"),
        ("/a b", "/a%20b"),
        ("/ü", "/%C3%BC"),
        ("/%c3%bc", "/%C3%BC"),
        ("/a\\b", "/a%5Cb"),
        ("/100%", "/100%25"),
        ("/a;b=c,d@e:f!$&'()*+~", "/a;b=c,d@e:f!$&'()*+~"),
        ("/\ud800", "/%ED%A0%80"),
    ],
)
def test_path(raw, path):
    assert split("https://h" + raw)[1] == path
    assert split("https://h" + raw + "?x=/y#/z")[1] == path
    assert split("https://h" + path)[1] == path


@pytest.mark.parametrize(
    "raw",
    ["", "/v1/../admin", "/a b", "/ü", "/%7Euser", "/a%2fb", "/a\\b", "/v1/./x/..", "//a", "/[x]"],
)
def test_path_is_what_requests_sends(raw):
    sent = requests.Request("GET", "https://h" + raw).prepare().url
    assert split("https://h" + raw) == split(sent)
    assert "https://h" + split(sent)[1] == sent.replace("[", "%5B").replace("]", "%5D")


# -- one pattern


@pytest.mark.parametrize(
    ("pattern", "urls"),
    [
        (
            "api.example.com",
            """http://api.example.com https://api.example.com/ https://api.example.com:8443/v1?x=y
            https://api.example.com?x https://api.example.com#x https://API.EXAMPLE.COM./
            https://user:pw@api.example.com/""",
        ),
        (
            "*.example.com",
            "https://a.example.com/ https://a.b.example.com https://A.Example.com.:1/",
        ),
        (
            "api.example.com/v1",
            """https://api.example.com/v1 https://api.example.com/v1/ https://api.example.com/v1/x
            https://api.example.com/v1?x https://api.example.com/v1#x
            https://api.example.com/v2/../v1 https://api.example.com/v%31""",
        ),
        ("api.example.com/v1/", "https://api.example.com/v1 https://api.example.com/v1/x"),
        (
            "https://api.example.com:8443/v1/*",
            "https://api.example.com:8443/v1/x https://api.example.com:8443/v1/x/y"
            " https://api.example.com:8443/v1/",
        ),
        ("/v1/users", "http://a/v1/users https://b:1/v1/users/5 https://c%2Ed/v1/users?x"),
        ("/", "http://a https://b/c"),
        ("h/*/users", "https://h/a/users https://h/a/users/5"),
        ("h/users/@me", "https://h/users/@me"),
        ("h/a:b", "https://h/a:b"),
        ("h/ü", "https://h/%C3%BC https://h/ü"),
        ("h:443", "https://h https://h:443/ http://h:443/"),
        ("http://h", "http://h http://h:8080"),
        ("HTTP://H:80", "http://h"),
        ("localhost:8080/api", "http://localhost:8080/api/x"),
        ("bücher.example", "https://bücher.example/ https://xn--bcher-kva.example/"),
        ("xn--bcher-kva.example", "https://bücher.example/"),
        ("*.bücher.example", "https://a.XN--bcher-kva.example/"),
        ("[::1]", "http://[::1]/ http://[0:0:0:0:0:0:0:1]:80/x"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1/x"),
        ("h.", "https://h/ https://h./"),
        (re.compile(r"https://h/v\d"), "https://h/v1 https://h:443/v2?x"),
        (re.compile(r"https://h:8443/"), "https://h:8443"),
        (re.compile(r"https?://[^/]+\.test/"), "http://a.test/ https://b.test:443/x"),
        (re.compile(r"ftp://h/"), "ftp://h/"),
    ],
)
def test_matches(pattern, urls):
    for url in urls.split():
        assert matches(pattern, url), url


@pytest.mark.parametrize(
    ("pattern", "urls"),
    [
        (
            "api.example.com",
            r"""https://evil.test/?x=api.example.com https://evil.test/api.example.com
            https://evil.test#api.example.com https://evil.test?api.example.com/
            https://api.example.com@evil.test/ https://api.example.com:443@evil.test/
            https://api.example.com\@evil.test/ https://api.example.com\.evil.test/
            https://evil.test\@api.example.com/ https://evil.test/@api.example.com
            https://evil.test?@api.example.com/ https://evil.test#@api.example.com/
            https://api.example.com.evil.test/ https://xapi.example.com/ https://x.api.example.com/
            https://api%2Eexample.com/ https://api.example.com%2F.evil.test/
            https://api.example.com%00/ https://apixexample.com/ ftp://api.example.com/
            api.example.com //api.example.com/ https:/api.example.com https:api.example.com
            https:///api.example.com/ https://api.example.com:x/ https://api.example.com../
            https://[api.example.com]/ https://example.com/""",
        ),
        (
            "*.example.com",
            r"""https://example.com/ https://xexample.com/ https://a.example.com.evil.test/
            https://.example.com/ https://evil.test%2F.example.com/ https://evil.test\.example.com/
            https://evil.test/.example.com https://a.example.com@evil.test/""",
        ),
        (
            "h/v1",
            """https://h/v10 https://h/ https://h/x/v1 https://h/v1/../admin https://h/v1/%2e%2e/x
            https://h/v1%2Fx https://h//v1 https://h/V1 https://h/v1;x https://h/?/v1
            https://x/v1""",
        ),
        ("https://h:8443/v1/*", "https://h:8443/v1 https://h/v1/x http://h:8443/v1/x"),
        ("h/*/users", "https://h/users https://h/a/b/users https://h/a/usersx"),
        ("h:443", "http://h https://h:8443"),
        ("http://h", "https://h https://h:80"),
        ("h:80", "https://h https://h:443"),
        ("/v1", "https://h/?/v1 https://v1/ ftp://h/v1 https://h/x/v1"),
        ("/", "ftp://h/ mailto:x"),
        ("[::1]", "http://[::2]/ http://[::1/"),
        (re.compile(r"https://h/"), r"https://h:8443/ https://x/https://h/ https://h\@x/"),
        (re.compile(r"https://h:443/"), "https://h:443/"),
        (re.compile(r".*secret"), "https://h/?secret https://h/#secret https://secret@h/"),
    ],
)
def test_does_not_match(pattern, urls):
    for url in urls.split():
        assert not matches(pattern, url), url


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("", "empty"),
        (" ", "whitespace"),
        ("a b.test", "whitespace"),
        ("h\n", "whitespace"),
        ("h/\x00", "control"),
        ("h?x=1", "query"),
        ("/v1?", "query"),
        ("h#x", "fragment"),
        ("user@h", "user names"),
        ("https://u:secret@h/", "user names"),
        ("h\\x", "backslash"),
        ("ftp://h", "scheme"),
        ("://h", "scheme"),
        ("//h/v1", "two slashes"),
        ("https:///v1", "no host"),
        ("https://", "no host"),
        ("h:", "port"),
        ("h:0", "port"),
        ("h:x", "port"),
        ("h:65536", "port"),
        ("h:1:2", "port"),
        ("::1", "port"),
        ("*", r"leading '\*\.'"),
        ("*/v1", r"leading '\*\.'"),
        ("a.*.test", r"leading '\*\.'"),
        ("*.*.test", r"leading '\*\.'"),
        ("*h.test", r"leading '\*\.'"),
        ("h:*", "port"),
        ("*.", "host is not valid"),
        (".h.test", "host is not valid"),
        ("a..b", "host is not valid"),
        ("h%2Etest", "host is not valid"),
        ("[h]", "host is not valid"),
        ("*.[::1]", "host is not valid"),
        ("h!", "host is not valid"),
        ("h/v*", "whole segment"),
        ("h/**", "whole segment"),
        ("/a/*b/c", "whole segment"),
    ],
)
def test_refused_patterns_say_why_and_what_instead(pattern, why):
    with pytest.raises(ValueError, match=why) as refused:
        UrlPattern.compile(pattern)
    with pytest.raises(ValueError, match=why):
        PatternIndex({pattern: 1})
    assert "secret" not in str(refused.value)
    example = re.search(r"write for example '([^']+)'$", str(refused.value))
    assert example is not None
    UrlPattern.compile(example.group(1))


@pytest.mark.parametrize("pattern", [None, 5, b"h", re.compile(b"h"), ["h"]])
def test_other_types_are_refused(pattern):
    with pytest.raises(TypeError, match="str or a compiled"):
        UrlPattern.compile(pattern)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("h", True),
        ("*.h", True),
        ("https://h:1/v1", True),
        ("/v1", False),
        ("/", False),
        (r"https://api\.example\.com/", True),
        (r"^https?://api[.]example\.com/v\d+", True),
        (r"(?i)https://h:8443/x", True),
        (r"https://h(?::\d+)?/(?:a|b)", True),
        (r"https://h:\d+/[|(]", True),
        (r"https://[^/]+\.example\.com/", True),
        (r"https://(?:[^/]+\.)?example\.com/", True),
        (r"(?:http|https)://h/", True),
        (r".*", False),
        (r"https://", False),
        (r"https://.*/v1", False),
        (r"https://[^/]+/v1", False),
        (r"https://api.example.com/", False),
        (r"https://api\.example\.com", False),
        (r"https://api\.example\.com/?", False),
        (r"https://api\.example\.com/*", False),
        (r"https://api\.example\.com/{0,1}", False),
        (r"https://api\.example\.co?m/", False),
        (r"https://api\.example\.com:?\d*/", False),
        (r"https://h/|.*", False),
        (r"https://h/(?:a)|.*", False),
        (r"https://h/[)]|.*[(]", False),
        (r"https://h/\(|.*", False),
        (r"https://(?:a|b)\.test/", False),
        (r"(?x)https://h/", False),
    ],
)
def test_names_host(pattern, names):
    regex = not re.fullmatch(r"h|\*\.h|https://h:1/v1|/v1|/", pattern)
    assert UrlPattern.compile(re.compile(pattern) if regex else pattern).names_host is names


def test_verbose_regex_names_no_host():
    assert not UrlPattern.compile(re.compile("https://h/ #", re.VERBOSE)).names_host


# -- many patterns

BY_SPECIFICITY = [
    re.compile(r"https?://.*/longer"),
    re.compile(r"https://h"),
    re.compile(r"https://i"),
    "https://a.b.test:443/v1/users/x",
    "a.b.test:443/v1/users/x",
    "https://a.b.test/v1/users/x",
    "a.b.test/v1/users/x",
    "a.b.test/*/users/x",
    "a.b.test/v1/*/*",
    "a.b.test/v1/users",
    "a.b.test/v1/*",
    "a.b.test/*/users",
    "a.b.test/*/*",
    "a.b.test/v1",
    "https://a.b.test:443",
    "a.b.test:443",
    "https://a.b.test",
    "a.b.test",
    "*.b.test/v1",
    "*.b.test",
    "*.test/v1/users/x",
    "*.test",
    "/v1/users",
    "/v1",
    "/",
]


def test_specificity_is_one_order():
    ranks = [UrlPattern.compile(pattern).specificity for pattern in BY_SPECIFICITY]
    assert ranks == sorted(ranks, reverse=True)
    assert len(set(ranks)) == len(ranks)


def test_the_most_specific_wins_until_it_is_removed():
    left = [pattern for pattern in BY_SPECIFICITY if isinstance(pattern, str)]
    while left:
        shuffled = random.Random(len(left)).sample(left, len(left))
        index = PatternIndex({pattern: pattern for pattern in shuffled})
        assert index.find("https://a.b.test/v1/users/x?y") == (left[0], left[0])
        del left[0]


def test_spellings_of_one_pattern_do_not_depend_on_order():
    for keys in (["h/", "H", "h"], ["h", "H", "h/"]):
        assert PatternIndex({key: key for key in keys}).find("https://h/x") == ("H", "H")


def test_regexes_come_first():
    regex = re.compile("https://h/a")
    index = PatternIndex({"h/a/b": 1, regex: 2})
    assert index.find("https://h/a/b") == (regex, 2)
    assert index.find("https://h/b") is None


def test_falls_back_to_less_specific_patterns():
    index = PatternIndex({"h/v1": 1, "h:8443": 2, "*.test": 3, "/v1": 4, "http://a.test": 5})
    assert index.find("https://h:8443/v1") == ("h/v1", 1)
    assert index.find("https://h:8443/v2") == ("h:8443", 2)
    assert index.find("https://h/v2") is None
    assert index.find("https://a.test/v1") == ("*.test", 3)
    assert index.find("http://a.test/v1") == ("http://a.test", 5)
    assert index.find("https://x/v1/y") == ("/v1", 4)


def test_values_may_be_anything():
    assert PatternIndex({"h": None}).find("https://h") == ("h", None)
    assert PatternIndex({}).find("https://h") is None
    assert len(PatternIndex({"h": None, "i": ()})) == 2


@pytest.mark.parametrize(
    "url",
    [
        "https://h@evil.test/",
        "https://h?@evil.test/x",
        "https://h#/x",
        "https://h?/x",
        "https://hx",
        "https://hx?",
        "https://h\\/x",
        "https://h:/x",
        "https:///h/x",
        "https://h",
        "https://",
        "h",
    ],
)
def test_the_cache_is_never_fooled(url):
    index = PatternIndex({"h": 1})
    cold = index.find(url)
    for warm in ("https://h/x", "https://h", "https://h:443/x", "http://h/x", "https://evil.test/"):
        index.find(warm)
    assert index.find(url) == cold
    assert (cold is not None) == UrlPattern.compile("h").matches(*split(url))


def test_the_cache_is_bounded_and_keeps_no_secrets():
    index = PatternIndex({"*.test": 1})
    for number in range(patterns.MAX_KNOWN_ORIGINS + 100):
        assert index.find(f"https://u:pw@h{number}.test/")
        assert index.find(f"https://h{number}.test/")
        assert index.find(f"https://h{number}.test?pw=/")
    assert 0 < len(index._known) <= patterns.MAX_KNOWN_ORIGINS
    assert not any("pw" in text for text in index._known)


@pytest.mark.parametrize(
    "family",
    ["h{}.test", "*.h{}.test", "h.test/v{}/users", "/v{}/users", "h.test:{}", "*.test/v{}"],
)
def test_cost_does_not_grow_with_the_number_of_patterns(family):
    def calls(count):
        index = PatternIndex({family.format(number): number for number in range(1, count + 1)})
        urls = ["https://h.test:7/v7/users/5", "https://x.h7.test/", "https://h7.test/v8/x"]
        for url in urls:
            index.find(url)
        seen = 0

        def count_line(frame, event, arg):
            nonlocal seen
            seen += 1
            return count_line

        before = sys.gettrace()
        sys.settrace(count_line)
        try:
            for url in urls:
                index.find(url)
        finally:
            sys.settrace(before)
        return seen

    assert calls(10) == calls(1000)


def test_reads_from_many_threads():
    index = PatternIndex({"*.test": 1, "a.test/v1": 2})
    wrong = []

    def read(seed):
        numbers = random.Random(seed)
        for _ in range(2000):
            number = numbers.randrange(3000)
            if index.find(f"https://h{number}.test/v1") != ("*.test", 1):
                wrong.append(number)
            if index.find("https://a.test/v1/x") != ("a.test/v1", 2):
                wrong.append("a")

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# -- properties

HOSTS = ["a.test", "b.a.test", "c.b.a.test", "test", "x.test", "[::1]", "bücher.test"]
SCHEMES = ["http", "https"]
PORTS = ["", ":80", ":443", ":8443"]
SEGMENTS = ["v1", "v2", "users", "x"]

PATHS = st.lists(st.sampled_from(SEGMENTS), max_size=4).map(lambda parts: "/" + "/".join(parts))
PATTERN_PATHS = st.lists(st.sampled_from([*SEGMENTS, "*"]), max_size=4).map("/".join)
TEXT_PATTERNS = st.one_of(
    st.builds(
        "{}{}{}{}/{}".format,
        st.sampled_from(["", "http://", "https://", "HTTP://"]),
        st.just(""),
        st.sampled_from([*HOSTS, "*.test", "*.a.test", "*.b.a.test", "A.test"]),
        st.sampled_from(PORTS),
        PATTERN_PATHS,
    ),
    PATTERN_PATHS.map(lambda path: "/" + path),
    st.sampled_from(HOSTS),
)
REGEXES = st.sampled_from(["https://a", "http", ".*v1", "https?://[^/]+/v2", "nothing"])
KEYS = st.lists(TEXT_PATTERNS | REGEXES.map(re.compile), max_size=12, unique=True)
URLS = st.builds(
    "{}://{}{}{}{}{}".format,
    st.sampled_from([*SCHEMES, "HTTPS", "ftp"]),
    st.sampled_from(["", "", "u:p@", "a.test@"]),
    st.sampled_from([*HOSTS, "B.a.TEST", "evil%2Ea.test", "a.test\\", "a.test."]),
    st.sampled_from(PORTS),
    st.one_of(st.just(""), PATHS, PATHS.map(lambda path: "/v1/.." + path)),
    st.sampled_from(["", "?x=a.test", "#a.test", "?a=/v1", "?/v1/@a.test/"]),
)


def by_brute_force(keys, url):
    hits = [pattern for pattern in map(UrlPattern.compile, keys) if pattern.matches(*split(url))]
    return max(hits, key=lambda pattern: pattern.specificity).source if hits else None


@settings(deadline=None)
@given(KEYS, st.lists(URLS, min_size=1, max_size=6))
def test_index_agrees_with_brute_force(keys, urls):
    index = PatternIndex({key: str(key) for key in keys})
    for url in urls * 2:
        expected = by_brute_force(keys, url)
        assert index.find(url) == (None if expected is None else (expected, str(expected)))


@settings(deadline=None)
@given(KEYS, URLS, st.randoms(use_true_random=False))
def test_insertion_order_does_not_matter(keys, url, chance):
    shuffled = chance.sample(keys, len(keys))
    one, other = (PatternIndex(dict.fromkeys(order, 0)) for order in (keys, shuffled))
    assert one.find(url) == other.find(url)


@settings(deadline=None)
@given(KEYS, URLS.filter(lambda url: "?" not in url and "#" not in url), st.text(max_size=30))
def test_query_and_fragment_do_not_matter(keys, url, text):
    index = PatternIndex(dict.fromkeys(keys, 0))
    expected = index.find(url)
    assert index.find(f"{url}?{text}") == expected
    assert index.find(f"{url}#{text}") == expected


@settings(deadline=None)
@given(KEYS, st.sampled_from(HOSTS), PATHS, st.text("abc.:%/test[]", max_size=12))
def test_userinfo_does_not_matter(keys, host, path, userinfo):
    index = PatternIndex(dict.fromkeys(keys, 0))
    userinfo = userinfo.replace("/", "")
    assert index.find(f"https://{userinfo}@{host}{path}") == index.find(f"https://{host}{path}")


@settings(deadline=None)
@given(st.text(max_size=40), st.text("ht:/@?#\\.[]%a1 *", max_size=20))
def test_no_text_raises(text, odd):
    index = PatternIndex({"a": 1, "a/1": 2, "*.a": 3, "/1": 4, re.compile("ht"): 5})
    for url in (text, odd, "http://" + text, "https://" + odd, "http://a/" + text):
        origin, path = split(url)
        assert path.startswith("/")
        assert split(f"http://a{path}")[1] == path
        assert origin_of(url) == origin
        index.find(url)


@settings(deadline=None)
@given(st.text("ht:/@?#\\.[]%a1 *-", max_size=16))
def test_a_pattern_is_valid_or_a_value_error(pattern):
    try:
        compiled = UrlPattern.compile(pattern)
    except ValueError:
        return
    assert UrlPattern.compile(pattern) == compiled
    assert len(PatternIndex({pattern: 1})) == 1
