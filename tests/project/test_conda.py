"""The recipe of conda-forge is one that rattler-build takes, and says the same as pyproject.toml."""

from __future__ import annotations

import re
import sys

import pytest
from rattler_build.stage0 import Stage0Recipe
from rattler_build.variant_config import VariantConfig
from support.imports import ROOT

import stepcell

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = ROOT / "conda/recipe.yaml"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
VARIANTS = {"python": ["3.10.* *_cpython", "3.13.* *_cp313"], "c_compiler": ["gcc"], "c_stdlib": ["sysroot"]}
NAMES = {"matplotlib-base": "matplotlib", "prometheus_client": "prometheus-client"}  # of conda-forge -> of PyPI


@pytest.fixture(scope="module")
def recipes():
    return [each.recipe.to_dict() for each in Stage0Recipe.from_file(FILE).render(VariantConfig(VARIANTS))]


def split(requirement):
    """Return the name of a package, as PyPI has it, and its versions; without conditions."""
    name, versions = re.match(r"([\w.-]+)\s*([^;#]*)", requirement).groups()
    return NAMES.get(name, name).lower(), versions.strip()


def test_rattler_build_renders_it_for_each_python(recipes):
    assert [recipe["build"]["string"][:5] for recipe in recipes] == ["py310", "py313"]
    for recipe in recipes:
        assert recipe["requirements"]["build"] == ["gcc_linux-64", "sysroot_linux-64"]


def test_rattler_build_refuses_a_recipe_with_a_key_that_there_is_not(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(FILE.read_text(encoding="utf-8").replace("run_constraints:", "run_constrained:"))
    with pytest.raises(Exception, match="run_constrained"):
        Stage0Recipe.from_file(path)


def test_it_needs_what_the_package_and_its_command_need(recipes):
    wanted = {*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["cli"]}
    requirements = recipes[0]["requirements"]
    assert set(map(split, requirements["run"])) == {("python", ""), *map(split, wanted)}
    assert set(map(split, requirements["host"])) == {
        ("python", ""),
        ("pip", ""),
        *map(split, PROJECT["build-system"]["requires"]),
    }


def test_it_keeps_the_packages_of_the_extras_to_the_same_versions(recipes):
    declared = {split(each) for extra in PROJECT["project"]["optional-dependencies"].values() for each in extra}
    constraints = set(map(split, recipes[0]["requirements"]["run_constraints"]))
    assert len(constraints) >= 10
    assert constraints - declared == set()


def test_it_is_about_this_version_and_this_project(recipes):
    about, urls = recipes[0]["about"], PROJECT["project"]["urls"]
    assert recipes[0]["package"] == {"name": "stepcell", "version": stepcell.__version__}
    assert recipes[0]["source"][0]["url"].endswith(f"/stepcell-{stepcell.__version__}.tar.gz")
    assert (about["homepage"], about["repository"], about["documentation"]) == (
        urls["Homepage"],
        urls["Source"],
        urls["Documentation"],
    )
    assert (about["summary"], about["license"]) == (PROJECT["project"]["description"], PROJECT["project"]["license"])
