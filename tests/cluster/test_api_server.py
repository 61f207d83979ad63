"""The API server that integration tests stand on."""

from __future__ import annotations

from tests.support.apiserver import ApiServer


def test_what_it_held_survives_a_kill_of_the_server(api_server: ApiServer) -> None:
    assert api_server.kubectl("create", "namespace", "survivor").returncode == 0
    api_server.stop_server(kill=True)
    api_server.start()
    assert "survivor" in api_server.kubectl("get", "namespaces", "--output=name").stdout


def test_a_user_without_a_role_is_refused(api_server: ApiServer) -> None:
    kubeconfig = api_server.kubeconfig_for("nobody-special", "strangers")
    refused = api_server.kubectl(f"--kubeconfig={kubeconfig}", "get", "secrets", "--all-namespaces")
    assert "forbidden" in refused.stderr
