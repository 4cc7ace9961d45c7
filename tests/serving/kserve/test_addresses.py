"""Where a release answers, in the words of each version and mode of KServe."""

from typing import Any

from serving.kserve.addresses import addresses, deployment_mode

NAME = "everloop-9f2c4ab0d1e2"
OWN = f"http://{NAME}-predictor.prod.svc"


def service(status: dict[str, Any] | None = None, **annotations: str) -> dict[str, Any]:
    return {"metadata": {"name": NAME, "namespace": "prod", "annotations": annotations}, "status": status or {}}


def standard(url: str) -> dict[str, Any]:
    return service({"deploymentMode": "Standard", "address": {"url": url}})


def test_before_the_controller_has_looked() -> None:
    assert addresses(service()) == [OWN, f"{OWN}:8080"]


def test_standard_mode_says_it_itself() -> None:
    told = f"{OWN}.cluster.local"
    assert addresses(standard(told))[0] == told


def test_a_service_without_an_address_of_its_own_is_asked_at_the_containers_port() -> None:
    assert addresses(standard(f"{OWN}.cluster.local:8080"))[0] == f"{OWN}.cluster.local:8080"
    assert f"{OWN}:8080" in addresses(standard(f"{OWN}.cluster.local"))  # 0.16 does not tell of the port


def test_no_tls_is_spoken_by_pods_whatever_the_ingress_speaks() -> None:
    assert addresses(standard(f"https://{NAME}-predictor.prod.svc.cluster.local"))[0].startswith("http://")


def test_paths_of_a_protocol_are_left_out() -> None:
    assert addresses(standard(f"{OWN}/v1/models/x:predict"))[0] == OWN


def test_knatives_own_address_comes_before_kserves() -> None:
    status = {
        "deploymentMode": "Knative",
        "address": {"url": f"http://{NAME}.prod.svc.cluster.local"},
        "components": {"predictor": {"address": {"url": f"http://{NAME}-predictor.prod.svc.cluster.local"}}},
    }
    found = addresses(service(status))
    assert found[0] == f"http://{NAME}-predictor.prod.svc.cluster.local"
    assert found[1] == f"http://{NAME}.prod.svc.cluster.local"
    assert f"{OWN}:8080" not in found


def test_the_controllers_word_on_the_mode_counts_and_older_names_too() -> None:
    mode = "serving.kserve.io/deploymentMode"
    assert deployment_mode(service()) == "Standard"
    assert deployment_mode(service(None, **{mode: "Knative"})) == "Knative"
    assert deployment_mode(service({"deploymentMode": "Serverless"}, **{mode: "Standard"})) == "Knative"
    assert deployment_mode(service({"deploymentMode": "RawDeployment"})) == "Standard"
