"""The path to return to in the query of a page."""

import pytest

from rules.return_path import find_return_path


@pytest.mark.parametrize(
    ("query", "path"),
    [
        # As nginx sends it: the rest of the query, whatever it contains.
        ("next=/", "/"),
        ("next=/report?year=2026&q=a%20b%26c", "/report?year=2026&q=a%20b%26c"),
        ("next=/x?next=/y&next=//evil.example", "/x?next=/y&next=//evil.example"),
        ("lang=de&next=/x", "/x"),
        # As /api/verify and the pages send it: encoded once.
        ("next=%2Freport%3Fyear%3D2026%26q%3Da%2520b%2526c", "/report?year=2026&q=a%20b%26c"),
        ("next=%2Fx&lang=de", "/x"),
        # As programs encode it that leave slashes as they are.
        ("next=/report%3Fyear%3D2026%26q%3Da&lang=de", "/report?year=2026&q=a"),
        ("next=/report%3fq=%2Fevil", "/report?q=/evil"),
        ("next=/%5Cevil.example%3F", None),
        ("next=/%2Fevil.example%3Fx", None),
        # No path of this host.
        ("next=//evil.example", None),
        ("next=%2F%2Fevil.example", None),
        ("next=/%5Cevil.example&next=/x", "/%5Cevil.example&next=/x"),
        ("next=%2F%5Cevil.example", None),
        ("next=/\\evil.example", None),
        ("next=%2F%0d%0aSet-Cookie:a=b", None),
        ("next=%2F%09%2Fevil.example", None),
        ("next=https://evil.example/", None),
        ("next=%252F%252Fevil.example", None),
        ("next=javascript:alert(1)", None),
        ("next=/" + "a" * 2000, None),
        ("next=", None),
        ("anext=/x", None),
        ("", None),
    ],
)
def test_the_path_is_the_rest_of_the_query_or_encoded_once(query: str, path: str | None) -> None:
    assert find_return_path(query) == path
