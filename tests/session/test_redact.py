"""Nothing secret leaves, and copies still match."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvassay.session.redact import Redactor
from kvassay.types import Message, ToolCall

MASKS = Redactor(key=b"k", users=("anna",))
KEY = "abcdefghijklmnopqrst0123456789ABCDEF"
HEX = "0123456789abcdef0123456789abcdef"

SECRETS = {
    "openai": ("key sk-proj-{}", KEY),
    "anthropic": ("sk-ant-api03-{}", KEY),
    "github": ("ghp_{}", KEY),
    "hugging face": ("login hf_{}", KEY),
    "aws": ("AKIA{}", "ABCDEFGHIJKLMNOP"),
    "slack": ("xoxb-{}", "1234567890-abcdef"),
    "token": ("eyJhbGciOi.{}.c2ln", "eyJzdWIiOiIxIn0"),
    "password in an address": ("postgres://me:{}@db/x", "hunter2!"),
    "header": ("Authorization: Bearer {}", "opaque-value-1"),
    "header of curl": ("-H 'x-api-key: {}'", "opaque-value-1"),
    "assignment": ("DB_PASSWORD={}", "hunter2hunter2"),
    "exported": ("export MY_API_KEY={}", "opaque-value-1"),
    "yaml": ("  password: {}", "hunter2hunter2"),
    "within a sentence": ("use password={} there", "hunter2hunter2"),
    "within a line": ("curl -d api_key={}, once", "opaque-value-1"),
    "bearer alone": ("send Bearer {} with it", "opaque-value-1"),
    "json": ('{{"password": "{}"}}', "hunter2hunter2"),
    "json in json": ('{{\\"api_key\\": \\"{}\\"}}', "hunter2hunter2"),
    "flag": ("login --token {}", "opaque-value-1"),
    "groq": ("gsk_{}", KEY),
    "xai": ("xai-{}", KEY),
    "replicate": ("r8_{}", KEY),
    "gitlab": ("glpat-{}", KEY),
    "google's client": ("GOCSPX-{}", KEY),
    "slack's app": ("xapp-1-{}", KEY),
    "slack's hook": ("https://hooks.slack.com/services/{}", f"T00/B00/{KEY}"),
    "telegram": ("bot 123456789:AA{}", KEY),
    "azure": ("AccountKey={}==;", KEY),
    "key after an escaped line end": ("one\\nsk-proj-{}\\ntwo", KEY),
    "assignment after an escaped line end": ("A=1\\nAPP_KEY={}\\nB=2", "opaque-value-1"),
    "assignment on a command line": ("docker run -e APP_TOKEN={} image", "opaque-value-1"),
    "docker file": ("ENV APP_TOKEN {}", "opaque-value-1"),
    "query": ("https://example.org/?a=1&token={}&b=2", "opaque-value-1"),
    "cookie": ("Cookie: sid={}", "opaque-value-1"),
    "user of curl": ("curl -s -u jane:{} https://example.org", "hunter2!"),
    "netrc": ("machine x login jane password {}", "hunter2!"),
    "sql": ("CREATE USER a IDENTIFIED BY '{}'", "hunter2!"),
    "quoted in a settings file": ('STRIPE_KEY="{}"', "opaque-value-1"),
    "pass": ("export DB_PASS='{}'", "opaque-value-1"),
    "subscript": ('os.environ["API_TOKEN"] = "{}"', KEY),
    "template string": ("const secret = `{}`;", KEY),
    "declared string": ("password: string = '{}'", KEY),
    "json in json in json": ('{{\\\\\\"accessToken\\\\\\": \\\\\\"{}\\\\\\"}}', KEY),
    "assignment in a numbered view": ("   12→aws_secret_access_key = {}", KEY),
    "assignment that was found": ("src/pypirc:3:password = {}", KEY),
    "assignment in a diff": ("+  auth_token: {}", KEY),
    "fish": ("cd x; set -x API_TOKEN {}", KEY),
    "pgpass": ("db.example.org:5432:shop:jane:{}", "hunter2!"),
    "mysql": ("mysql -u jane -p{} shop", "hunter2!"),
    "docker login": ("docker login -u jane -p {} registry", "hunter2!"),
    "sshpass": ("sshpass -p '{}' ssh shop", "hunter2!"),
    "quoted flag": ("login --password '{}'", "hunter2!"),
    "curl after an escaped line end": ("cd x\\ncurl -u jane:{} https://example.org", "hunter2!"),
    "cookie that is set": ("one\\nSet-Cookie: sid={}", "opaque-value-1"),
    "name after an at sign's host": ("git@host:{}/shop", "anna"),
    "name's home": ("cd ~{}/shop", "anna"),
    "openrouter": ("sk-or-v1-{}", HEX * 2),
    "deepseek": ("sk-{}", HEX),
    "litellm": ("sk-{}", "aB3-defghij_lmnopqrstu"),
    "gemini": ("AQ.Ab8{}", KEY),
    "together": ("tgp_v1_{}", KEY),
    "cerebras": ("csk-{}", HEX),
    "pinecone": ("pcsk_{}", KEY),
    "jina": ("jina_{}", KEY),
    "firecrawl": ("fc-{}", HEX),
    "e2b": ("e2b_{}", HEX),
    "bedrock": ("ABSK{}=", KEY + KEY),
    "databricks": ("dapi{}", HEX),
    "vercel": ("vcp_{}", KEY),
    "netlify": ("nfp_{}", KEY),
    "heroku": ("HRKU-{}", KEY),
    "fly": ("FlyV1 fm2_{}", KEY),
    "supabase": ("sb_secret_{}", KEY),
    "planetscale": ("pscale_tkn_{}", KEY),
    "neon": ("napi_{}", HEX + HEX),
    "sentry": ("sntryu_{}", HEX + HEX),
    "new relic": ("NRAK-{}", "ABCDEFGHIJKLMNOPQRSTU012345"),
    "posthog": ("phx_{}", KEY),
    "square": ("sq0atp-{}", "abcdefghijklmnopqrst01"),
    "bitbucket": ("ATBB{}", KEY),
    "gitlab's routable": ("glpat-{}", f"{KEY}.01.0123456ab"),
    "gitlab's job": ("glcbt-64_{}", KEY),
    "terraform": ("{}", f"abcdefghij0123.atlasv1.{KEY}{KEY}"),
    "1password": ("ops_eyJ{}", KEY + KEY),
    "mailchimp": ("{}-us12", HEX),
    "brevo": ("xkeysib-{}", HEX + HEX),
    "docker": ("dckr_oat_{}", KEY),
    "wandb": ("wandb login {}", f"{HEX}01234567"),
    "azure's header": ("Ocp-Apim-Subscription-Key: {}", HEX),
    "teams' hook": ("https://x.webhook.office.com/webhookb2/{}", f"1-2@3-4/IncomingWebhook/{HEX}/5-6"),
    "signed address": ("https://h/x?X-Amz-Date=1&X-Amz-Signature={}&a=b", HEX),
    "address in html": ('<a href="/x?a=1&amp;token={}">', "opaque-value-1"),
    "address in json": ("https://h/x?a=1\\u0026sig={}", "opaque-value-1"),
    "flag of two words": ("tool --client-secret {}", "opaque-value-1"),
    "openssl": ("openssl enc -pass pass:{} -in x", "hunter2!"),
    "redis": ("redis-cli -h x -a {} ping", "hunter2!"),
    "setx": ("setx OPENAI_API_KEY {}", "opaque-value-1"),
    "several words": ('DB_PASSWORD="{}"', "correct horse battery"),
    "pass in json": ('{{"smtp_pass": "{}"}}', "hunter2!"),
    "glued name": ("secretkey = '{}'", "hunter2!"),
    "putty": ("Private-Lines: 1\n{}\nPrivate-MAC: 00", KEY + KEY),
    "mac home of two words": ("/Users/{}/x", "Jane Doe"),
    "home of two words in a shell": ("cd /mnt/c/Users/{}/x", "Jane\\ Doe"),
    "pgp": ("-----BEGIN PGP PRIVATE KEY BLOCK-----\n{}\n-----END PGP PRIVATE KEY BLOCK-----", KEY),
    "private key": ("-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----", KEY),
    "cut private key": ("-----BEGIN PRIVATE KEY-----\n{}", KEY),
    "mail": ("by {}@example.org", "jane.doe"),
    "linux home": ("cd /home/{}/work", "jdoe"),
    "mac home": ("/Users/{}/x.py", "jdoe"),
    "windows home": ("C:\\Users\\{}\\x", "jdoe"),
    "windows home in json": ("C:\\\\Users\\\\{}\\\\x", "jdoe"),
    "windows home in json in json": ("C:\\\\\\\\Users\\\\\\\\{}\\\\\\\\x", "jdoe"),
    "windows home in lower case": ("c:\\users\\{}\\x", "jdoe"),
    "windows home of two words": ("C:\\Users\\{}\\x", "Jane Doe"),
    "windows home with slashes": ("c:/users/{}/x", "jdoe"),
    "home in a list of commands": ("cd /home/{};ls", "jdoe"),
    "home in an address": ("vscode://x?path=%2Fhome%2F{}%2Fx", "jdoe"),
    "home in escaped slashes": ("\\/home\\/{}\\/x", "jdoe"),
    "home in a folder's name": ("~/.claude/projects/-home-{}-work/x", "jdoe"),
    "windows home in a folder's name": ("/projects/C--Users-{}-work/x", "jdoe"),
    "name": ("drwxr-xr-x 2 {} staff", "anna"),
}


@pytest.mark.parametrize("kind", SECRETS)
def test_what_is_secret_is_masked_and_the_rest_stays(kind: str) -> None:
    """The text around it is untouched, and masking again changes nothing."""
    around, secret = SECRETS[kind]
    text = f"first line\n{around.format(secret)}\nlast line"
    masked = MASKS.text(text)
    assert secret not in masked
    assert masked.startswith("first line\n")
    assert masked.endswith("last line") or kind == "cut private key"
    assert MASKS.text(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "def token(self): return self.tokens[0]",
        "max_tokens=4096",
        "MAX_TOKENS=131072",
        "    token=self.token2,",
        "password = getpass()",
        "the secret: patience",
        "connect(secret=load_secret(), password=values[0])",
        "basic authentication, bearer of responsibilities",
        "import secrets, tokenize",
        "https://example.org:8080/path",
        "/home/shared/data",
        "commit 0123456789abcdef0123456789abcdef01234567",
        "SORT_KEY=created_at PAGE_TOKEN=10",
        "docker run -u 1000:1000 image",
        "docker run -p 8080:8080 image",
        "mysql -u jane -h example shop",
        "if token == token2.next_token:",
        "SORT_KEY = 'created_at'",
        "error in a.py:1200:12:5:expected",
        "/home/ubuntu/x",
        "src/x-home-page/index.html",
        "key-value store, risk-managed_and_task_key",
        "the cookie: a biscuit",
        "decorator @app.route('/x')",
        "cp /home/ubuntu Makefile && ls --sort-key name1x --max-tokens 4096",
        'BYPASS="two words 9", "compass": "north1", test_pass = "passed"',
        "tests pass: 12 of 12, -a redis, --pass-through 1",
        "md5 0123456789abcdef0123456789abcdef us-12, re_compile_all_of_them_at_once",
        '"author": "jane2026", "authority": "https://login.example.org/2"',
        '"tokenizer_class": "Qwen2Tokenizer", TOKENIZER_PATH=/models/qwen2',
        '"eos_token": "<|im_end|>", api_key: "${API_KEY_1}", token = f"{token1}"',
        'token_type = "bearer2", AUTH_MODE=oauth2, "secretName": "shop-db-2"',
        "CONSTRAINT pk_user_primary_key_constraint_2, sk-learn-contrib-py310-wheel-builder",
        "git clone git@example.org:shop/shop.git",
        "dp.set.something.very.long.dotted.attribute.path.here",
    ],
)
def test_code_is_left_alone(text: str) -> None:
    """Words that only look like secrets are what a session is made of."""
    assert MASKS.text(text) == text


def test_equal_secrets_get_equal_masks_and_others_other_ones() -> None:
    """An edit that quotes masked text still finds it; another key makes other masks."""
    one, two = MASKS.text(f"sk-{KEY} sk-{KEY[::-1]}").split()
    assert one == MASKS.text(f"sk-{KEY}")
    assert one != two
    assert Redactor(key=b"other").text(f"sk-{KEY}") != one


@pytest.mark.parametrize(
    "text", ["http://h/p?key={}&sort=asc&page=2", "x?token={}&more=1 end", "https://anna@h/x?sig={}&a=b"]
)
def test_what_follows_a_mask_stays(text: str) -> None:
    """A mask is no assignment of its own, and a name that became a mask is no login."""
    masked = MASKS.text(text.format("opaque-value-1"))
    assert masked.endswith(text.partition("{}")[2])
    assert masked.count("⟨secret:") == 1
    assert MASKS.text(masked) == masked


@pytest.mark.parametrize("text", ["/home/j\udcffdoe/x", 'token = "abc\ud83d0123456789"'])
def test_half_a_character_is_masked_as_any_other(text: str) -> None:
    """A folder's name may hold bytes that are no UTF-8; Python keeps them as halves of characters."""
    assert "\udcff" not in MASKS.text(text)
    assert "\ud83d" not in MASKS.text(text)


@given(st.lists(st.sampled_from([*SECRETS]) | st.text(max_size=8), max_size=6))
def test_masking_is_idempotent(kinds: list[str]) -> None:
    """Whatever stands beside what."""
    pieces = (SECRETS[kind][0].format(SECRETS[kind][1]) if kind in SECRETS else kind for kind in kinds)
    once = MASKS.text(" ".join(pieces))
    assert MASKS.text(once) == once


def test_only_secrets_are_masked_where_that_is_asked_for() -> None:
    """What stays on this machine keeps its paths and names."""
    personal = "/home/jdoe/a.py by jane@example.org and anna"
    masked = MASKS.without_secrets(f"{personal} sk-{KEY}")
    assert masked.startswith(personal)
    assert KEY not in masked
    assert MASKS.without_secrets(masked) == masked


def test_messages_keep_their_form() -> None:
    """Texts and arguments are masked, at any depth; ids and names are not."""
    call = ToolCall("anna-1", "login", {"env": [{"API_TOKEN": "short", "path": "/home/jdoe/x"}], "n": 3})
    (masked,) = MASKS.messages([Message("assistant", "anna says", (call,))])
    ((env,), n) = masked.tool_calls[0].arguments["env"], masked.tool_calls[0].arguments["n"]  # type: ignore[misc, str-unpack, union-attr]
    assert (masked.tool_calls[0].id, masked.tool_calls[0].name, n) == ("anna-1", "login", 3)
    assert "anna" not in masked.content
    assert "short" not in str(env)
    assert "jdoe" not in str(env)
    assert MASKS.messages([masked]) == (masked,)
