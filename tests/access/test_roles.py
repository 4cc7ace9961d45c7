"""The chart's Roles give exactly what the table of needs says; accounts and tokens are as few as can be."""

import dataclasses
from typing import Any

import pytest

from pipelines.access.needs import NEEDS, Need, needs_of, parts_with_needs
from pipelines.kubeflow import TOKEN_FILE
from tests.access.rbac import Rbac, account
from tests.helm.charts import HOME, named, pods, render

Json = dict[str, Any]
ACCOUNTS = {part: f"everloop-{part}" for part in ("gateway", "rollout", "monitor", "controller", "predictor", "steps")}
IDENTITIES = {  # annotation of the account, and what a cloud wants on the pods beside it
    "AWS": ({"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/everloop"}, {}),
    "Azure": (
        {"azure.workload.identity/client-id": "00000000-0000-0000-0000-000000000000"},
        {"azure.workload.identity/use": "true"},
    ),
    "Google": ({"iam.gke.io/gcp-service-account": "everloop@shop.iam.gserviceaccount.com"}, {}),
}


def values(**settings: Any) -> Json:
    return {"home": HOME, "settings": settings}


def wanted(needs: tuple[Need, ...]) -> set[tuple[str, str, str, str]]:
    return {
        (verb, need.group, need.resource, name) for need in needs for verb in need.verbs for name in need.names or ("",)
    }


@pytest.mark.parametrize("when", ["create", "follow"])
@pytest.mark.parametrize("part", ACCOUNTS)
def test_a_part_has_the_rights_that_it_needs_and_no_other(newest: str, part: str, when: Any) -> None:
    rbac = Rbac(render(newest, values(rollout={"kserve": when})))
    assert rbac.granted(account("shop", ACCOUNTS[part]), "shop") == wanted(needs_of(part, when))
    assert rbac.namespaces() == {"shop"}


def test_a_kubeflow_for_several_users_lets_the_controller_into_one_profile(newest: str) -> None:
    """With a token for Kubeflow alone, and none for the API server."""
    objects = render(newest, {**values(), "controller": {"kubeflow": {"namespace": "team-a"}}})
    controller = account("shop", ACCOUNTS["controller"])
    rbac = Rbac(objects)
    assert rbac.granted(controller, "team-a") == wanted(needs_of("controller", "profile"))
    assert rbac.granted(controller, "shop") == set()
    [spec] = [pod["spec"] for name, pod in pods(objects) if name == ACCOUNTS["controller"]]
    assert spec["automountServiceAccountToken"] is False
    [token] = [one["projected"]["sources"] for one in spec["volumes"] if "projected" in one]
    assert [one["serviceAccountToken"]["audience"] for one in token] == ["pipelines.kubeflow.org"]
    [place] = [one["mountPath"] for one in spec["containers"][0]["volumeMounts"] if one["name"] == "kubeflow"]
    assert f"{place}/token" == TOKEN_FILE
    given = {**values(), "controller": {"kubeflow": {"namespace": "team-a", "existingSecret": "token"}}}
    assert Rbac(render(newest, given)).granted(controller, "team-a") == set()


def test_an_engine_whose_predictors_run_elsewhere_has_no_rights_and_no_token(newest: str) -> None:
    objects = render(newest, values(rollout={"predictors": "urls", "predictor_url": "http://p-{short}"}))
    assert Rbac(objects).granted(account("shop", ACCOUNTS["rollout"]), "shop") == set()
    assert not any(pod["spec"].get("automountServiceAccountToken", True) for _, pod in pods(objects))


def test_releases_in_a_namespace_of_their_own_give_rights_there_and_none_at_home(newest: str) -> None:
    rbac = Rbac(render(newest, values(kserve={"namespace": "models"})))
    engine = account("shop", ACCOUNTS["rollout"])
    assert rbac.granted(engine, "models") == wanted(needs_of("rollout"))
    assert rbac.granted(engine, "shop") == set()


def test_an_account_of_ones_own_gets_the_same_rights_and_the_default_account_none(newest: str) -> None:
    mine = {**values(), "rollout": {"serviceAccount": {"create": False, "name": "engine"}}}
    rbac = Rbac(render(newest, mine))
    assert rbac.granted(account("shop", "engine"), "shop") == wanted(needs_of("rollout"))
    nobody = {**values(), "rollout": {"serviceAccount": {"create": False}}}
    rbac = Rbac(render(newest, nobody))
    assert not any(
        subject["name"] in ("default", ACCOUNTS["rollout"]) for one in rbac.bindings for subject in one["subjects"]
    )


def test_nothing_is_granted_in_the_whole_cluster_and_no_rule_has_a_star(newest: str) -> None:
    objects = render(newest, values())
    assert not [one for one in objects if one["kind"].startswith("ClusterRole")]
    rules = [rule for one in objects if one["kind"] == "Role" for rule in one["rules"]]
    assert not [rule for rule in rules if "*" in (*rule["verbs"], *rule["apiGroups"], *rule["resources"])]


def test_every_part_has_an_account_of_its_own_and_every_pod_names_one(newest: str) -> None:
    objects = render(newest, values())
    accounts = [one for one in objects if one["kind"] == "ServiceAccount"]
    assert sorted(one["metadata"]["name"] for one in accounts) == sorted(ACCOUNTS.values())
    assert not any(one["automountServiceAccountToken"] for one in accounts)
    for name, pod in pods(objects):
        spec = pod["spec"]
        part = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        if part in ACCOUNTS:
            assert spec["serviceAccountName"] == ACCOUNTS[part], name
        # Said in the pod itself, whatever the account says: where it is used, and nowhere else.
        assert spec["automountServiceAccountToken"] is (part in parts_with_needs()), name


@pytest.mark.parametrize("cloud", IDENTITIES)
@pytest.mark.parametrize("part", ACCOUNTS)
def test_a_part_alone_gets_an_identity_of_a_cloud(newest: str, part: str, cloud: str) -> None:
    annotations, labels = IDENTITIES[cloud]
    own: Json = {"serviceAccount": {"annotations": annotations, "labels": labels}}
    if part in ("gateway", "rollout", "monitor", "controller"):
        own["podLabels"] = labels
    objects = render(newest, {**values(), part: own})
    for name in ACCOUNTS.values():
        metadata = named(objects, "ServiceAccount", name)["metadata"]
        assert (metadata.get("annotations", {}) == annotations) is (name == ACCOUNTS[part]), name
        assert labels.items() <= metadata["labels"].items() or name != ACCOUNTS[part]
    for name, pod in pods(objects):
        if name == ACCOUNTS[part] and "podLabels" in own:
            assert labels.items() <= pod["metadata"]["labels"].items()
            assert pod["spec"]["serviceAccountName"] == ACCOUNTS[part]


@pytest.mark.parametrize("part", ["gateway", "rollout", "monitor", "controller"])
def test_a_part_alone_gets_a_key_of_its_own(newest: str, part: str) -> None:
    """For stores without a cloud's identities: one Secret a part."""
    for name, pod in pods(render(newest, {**values(), part: {"storeSecret": f"store-{part}"}})):
        [container] = pod["spec"]["containers"]
        keys = {
            one["valueFrom"]["secretKeyRef"]["name"]
            for one in container.get("env", ())
            if one["name"].startswith("AWS_")
        }
        if keys:
            assert keys == {f"store-{part}" if name == ACCOUNTS[part] else "everloop-store"}, name


def test_a_grant_too_many_or_too_few_would_be_noticed(newest: str) -> None:
    """The comparison above is one of sets: here with a verb more and with one less on either side."""
    granted = Rbac(render(newest, values())).granted(account("shop", ACCOUNTS["rollout"]), "shop")
    fewer = tuple(dataclasses.replace(need, verbs=need.verbs[1:]) for need in needs_of("rollout"))
    more = (*needs_of("rollout"), Need("rollout", "", "secrets", ("list",), "always", "", ""))
    assert granted - wanted(fewer)
    assert wanted(more) - granted


@pytest.mark.parametrize("need", NEEDS, ids=lambda need: f"{need.part}-{need.resource}-{need.when}")
def test_a_need_of_our_own_code_names_a_module_that_exists(need: Need) -> None:
    import importlib

    if need.part == "steps":  # Kubeflow's and Argo's containers in our pods
        return
    assert importlib.import_module(need.where)
    assert need.why
