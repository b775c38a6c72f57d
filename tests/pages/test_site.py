"""How the pages look by the settings, and what they load."""

import re
from pathlib import Path

import pytest

from handlers.application import Application
from ops.request_log import RequestRecord
from settings import Settings, SettingsError, load_settings
from tests.harness.api import PASSWORD, Api
from tests.harness.configuration import KEY, ROOT, override_settings, settings_with
from tests.harness.form_browser import FormBrowser
from wiring.documents import static_documents
from wiring.errors import WrongSettings
from wiring.pages import page_routes

PATH = "/auth/sign-in"


@pytest.mark.gen_test
async def test_a_page_loads_one_style_sheet_one_script_and_less_than_30_kb(
    browser: FormBrowser,
) -> None:
    page = await browser.get(PATH)
    loaded = [each.attributes["href"] for each in page.elements if each.tag == "link"]
    scripts = [each.attributes["src"] for each in page.elements if each.tag == "script"]
    assert (loaded, scripts) == (["data:,", "/auth/style.css"], ["/auth/pages.js"])
    sizes = [len(page.content)]
    for path in ("/auth/style.css", "/auth/pages.js"):
        part = await browser.get(path)
        assert part.status == 200
        assert part.headers["Cache-Control"] == "no-cache"
        sizes.append(len(part.content))
    assert sum(sizes) < 30_000
    assert b"prefers-color-scheme: dark" in (await browser.get("/auth/style.css")).content


@override_settings(
    PAGES__TITLE="Fish & Chips",
    PAGES__COLOR="#166534",
    PAGES__LINKS="Imprint=https://example.com/imprint?a=b&c=d,Help=/help",
)
@pytest.mark.gen_test
async def test_title_color_and_links_are_settings(browser: FormBrowser) -> None:
    page = await browser.get(PATH)
    assert page.title == "Sign in · Fish &amp; Chips"
    assert page.find("a", href="https://example.com/imprint?a=b&c=d")
    assert page.find("a", href="/help")
    assert b"--accent: #166534" in (await browser.get("/auth/style.css")).content


@override_settings(REGISTRATION__OPEN=False)
@pytest.mark.gen_test
async def test_what_the_settings_switch_off_is_not_shown(browser: FormBrowser) -> None:
    page = await browser.get(PATH)
    targets = {each.attributes.get("href") for each in page.elements if each.tag == "a"}
    assert not {"/auth/sign-up", "/auth/forgot"} & targets


@override_settings(PAGES__ENABLED=False)
@pytest.mark.gen_test
async def test_without_pages_their_paths_do_not_exist_and_messages_still_lead_somewhere(
    api: Api,
) -> None:
    for path in ("/", PATH, "/auth/style.css", "/.well-known/change-password"):
        assert (await api.request("GET", path)).problem == "not-found"
    assert (await api.request("GET", "/auth/reset")).status == 200


def test_in_production_there_are_no_pages_without_a_public_url() -> None:
    production = {
        "APP_SETTINGS": "production",
        "DATABASE_URL": "embedded",
        "SECRET_KEYS": KEY,
        "USERAUTH_SERVER__TRUSTED_PROXIES": "127.0.0.1/32",
    }
    public = {"USERAUTH_SERVER__PUBLIC_URL": "https://auth.example.com"}
    for variables, are_served in (
        (production, False),
        (production | public, True),
        (production | public | {"USERAUTH_PAGES__ENABLED": "false"}, False),
        (production | {"APP_SETTINGS": "development"}, True),
    ):
        settings = load_settings(variables, ROOT / "settings.toml")
        assert bool(page_routes(settings).routes) == are_served
        documents = static_documents(settings)
        assert ("/auth/style.css" in documents) == are_served
        # What messages link to is a page or a document.
        assert ("/auth/reset" in documents) != are_served


def test_templates_of_the_administrator_replace_ours(tmp_path: Path) -> None:
    (tmp_path / "leave.html").write_text("<p>{{ target }} {{ t('leave.title') }}</p>", "utf-8")
    routes = page_routes(settings_with(PAGES__TEMPLATES=tmp_path)).routes
    renderer = routes[0][2]["pages"].renderer
    assert renderer.render("leave", "en", target="/a&b") == b"<p>/a&amp;b Signed in</p>"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("layout.html", "{% if %}", "Missing"),
        ("layout.html", "<p>\n{{ a b }}", "invalid syntax at layout.html:2"),
        ("layout.html", "{{ 'a }}", "unterminated string literal at layout.html:1"),
        ("layout.html", "{% whitespace odd %}", "invalid whitespace mode"),
        ("layout.html", "{% extends 'sign-in.html' %}", "it extends or includes itself"),
        ("sign-in.html", "{% extends 'sign-in.html' %}", "it extends or includes itself"),
        ("sign-in.html", "{% include 'sign-in.html' %}", "it extends or includes itself"),
        ("sign-in.html", "{% if 1 %}" * 3000 + "{% end %}" * 3000, "it is nested too deeply"),
        ("sign-in.html", f"{{{{ {100_000 * '-'}1 }}}}", "it is nested too deeply"),
        ("layout.html", "\udcff", "'utf-8' codec"),
        ("layout.html", "<p>{{ missing }}</p>", "'missing' is not defined"),
        ("layout.html", "{% include 'absent.html' %}", "there is no template 'absent.html'"),
        ("sign-in.html", "{% include 'absent.html' %}", "there is no template 'absent.html'"),
        ("signin.html", "<p></p>", "no page uses"),
        ("de.toml", "{% if %}", "Invalid"),
        ("de.toml", "\udcff", "'utf-8' codec"),
        ("de.toml", f"x = {5000 * '['}", "it is nested too deeply"),
        ("de.toml", "text = 'x'", "text is not a text in"),
        ("de.toml", "[field]\nemail = 5", "field.email is not a text in"),
        ("de.toml", "[field]\nother = 'x'", "1 text is not used: field.other"),
        ("de.toml", "[field]\na = 'x'\nb = 'x'", "2 texts are not used: field.a, field.b"),
        (".toml", "[field]\nemail = 'x'", "texts are missing: account-d"),
        ("de.toml", "[field]\nemail = '{x}'", "field.email contains a value"),
        ("de.toml", "[field]\nemail = '50 {'", "field.email: Single '{'"),
        ("de.toml", "[messages]\n'must be {}' = '{2}'", "must be {} contains a value"),
        ("de.toml", "[messages]\n'must be {}' = '}'", "must be {}: Single '}'"),
        ("fr.toml", "[field]\nemail = 'x'", "texts are missing: account-d"),
    ],
)
def test_a_faulty_template_or_text_prevents_the_start_and_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, content: str, reason: str
) -> None:
    (tmp_path / name).write_text(content, "utf-8", "surrogateescape")
    beginning = re.escape(f"pages.templates: the pages cannot be built: {name}: ")
    with pytest.raises(WrongSettings, match=f"^{beginning}.*{re.escape(reason)}"):
        page_routes(settings_with(PAGES__TEMPLATES=tmp_path))
    assert caplog.messages == []


def test_a_directory_of_templates_that_does_not_exist_prevents_the_start(tmp_path: Path) -> None:
    with pytest.raises(WrongSettings, match=r"^pages.templates: .*absent"):
        page_routes(settings_with(PAGES__TEMPLATES=tmp_path / "absent"))


def test_a_template_of_the_administrator_may_include_one_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "leave.html").write_text("{% include 'extra.html' %}", "utf-8")
    (tmp_path / "extra.html").write_text("<p>{{ t('leave.title') }}</p>", "utf-8")
    renderer = page_routes(settings_with(PAGES__TEMPLATES=tmp_path)).routes[0][2]["pages"].renderer
    assert renderer.render("leave", "en") == b"<p>Signed in</p>"


@pytest.fixture
def failing_templates(tmp_path: Path) -> Path:
    (tmp_path / "layout.html").write_text("{{ site.nothing }}", "utf-8")
    return tmp_path


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    if "failing_templates" in request.fixturenames:
        return settings_with(PAGES__TEMPLATES=request.getfixturevalue("failing_templates"))
    return settings_with(**getattr(request, "param", {}))


@pytest.mark.parametrize(
    ("path", "problem"),
    [(PATH, "internal-error"), ("/auth/reset", "internal-error"), ("/nothing", "not-found")],
)
@pytest.mark.usefixtures("failing_templates")
@pytest.mark.gen_test
async def test_a_template_that_fails_gives_a_document(
    api: Api, caplog: pytest.LogCaptureFixture, path: str, problem: str
) -> None:
    answer = await api.request("GET", path, headers={"Accept": "text/html"})
    assert answer.problem == problem
    failures = [record for record in caplog.records if record.exc_info]
    assert len(failures) == (1 if problem == "internal-error" else 0)
    caplog.clear()


def test_a_logo_is_served(tmp_path: Path) -> None:
    logo = tmp_path / "logo.svg"
    logo.write_text("<svg/>", "utf-8")
    found = static_documents(settings_with(PAGES__LOGO=logo))["/auth/logo"]
    assert (found.content, found.media_type) == (b"<svg/>", "image/svg+xml")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("COLOR", "red"),
        ("COLOR", "#ffff00"),
        ("LINKS", "Imprint"),
        ("LINKS", "Imprint=javascript:alert(1)"),
        ("LOGO", "logo.gif"),
        ("TITLE", 101 * "a"),
    ],
)
def test_a_setting_that_makes_pages_unusable_is_rejected(name: str, value: str) -> None:
    with pytest.raises(SettingsError):
        settings_with(**{f"PAGES__{name}": value})


@pytest.mark.gen_test
async def test_the_log_has_the_path_of_a_page_and_the_user_and_no_more(
    api: Api, browser: FormBrowser, app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = (await api.register()).json["id"]
    records: list[RequestRecord] = []
    monkeypatch.setattr(app.request_log, "write", records.append)
    await browser.get(f"{PATH}?next=/secret-path")
    await browser.sign_in("susan@example.com", PASSWORD, next="/secret-path")
    assert [(each.route, each.status) for each in records] == 3 * [(PATH, 200)]
    assert records[-1].user_id == user
    for secret in (PASSWORD, "secret-path", browser.cookies["userauth"]):
        assert secret not in repr(records)
