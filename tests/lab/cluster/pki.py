"""Certificates and kubeconfigs, made by openssl.

Python 3.13 verifies strictly: the authority needs keyUsage, every leaf an authority key identifier.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from tests.lab import process
from tests.lab.cluster.plan import API_SERVER, CONTROL_PLANE_IP, SERVICE_IP, Member

DAYS = "365"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a certificate is for: Kubernetes reads the user from the name and groups from the organization."""

    file: str
    user: str
    group: str = ""
    names: tuple[str, ...] = ()  # subject alternative names, as openssl writes them


ADMIN = Identity("admin", "lab-admin", "system:masters")
CONTROL_PLANE = (
    Identity(
        "apiserver",
        "kube-apiserver",
        names=(
            "DNS:kubernetes", "DNS:kubernetes.default", "DNS:kubernetes.default.svc",
            "DNS:kubernetes.default.svc.cluster.local", "DNS:localhost",
            "IP:127.0.0.1", f"IP:{SERVICE_IP}", f"IP:{CONTROL_PLANE_IP}",
        ),
    ),
    Identity("apiserver-to-kubelet", "kube-apiserver-kubelet-client", "system:masters"),
    Identity("controller-manager", "system:kube-controller-manager"),
    Identity("scheduler", "system:kube-scheduler"),
    Identity("kube-proxy", "system:kube-proxy"),
    ADMIN,
)  # fmt: skip


def kubelet(member: Member) -> Identity:
    """A kubelet's identity: client of the API server, and server to it."""
    return Identity(member.name, f"system:node:{member.name}", "system:nodes",
                    (f"DNS:{member.name}", f"IP:{member.ip}"))  # fmt: skip


def make_authority(folder: Path) -> None:
    """Write ca.crt and ca.key, and service-account.key with its public half."""
    folder.mkdir(parents=True)
    _key(folder / "ca.key")
    _openssl("req", "-x509", "-new", "-key", folder / "ca.key", "-subj", "/CN=thermocline-lab", "-days", DAYS,
             "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", folder / "ca.crt")  # fmt: skip
    _key(folder / "service-account.key")
    _openssl("pkey", "-in", folder / "service-account.key", "-pubout", "-out", folder / "service-account.pub")


def issue(folder: Path, who: Identity) -> None:
    """Write FILE.key, FILE.crt and FILE.kubeconfig for one identity."""
    key, request, certificate = (folder / f"{who.file}.{end}" for end in ("key", "csr", "crt"))
    organization = f"/O={who.group}" if who.group else ""
    _key(key)
    _openssl("req", "-new", "-key", key, "-subj", f"{organization}/CN={who.user}", "-out", request)
    extensions = folder / f"{who.file}.ext"
    extensions.write_text(
        "authorityKeyIdentifier=keyid\nkeyUsage=critical,digitalSignature\n"
        "extendedKeyUsage=clientAuth,serverAuth\n"
        + (f"subjectAltName={','.join(who.names)}\n" if who.names else "")
    )
    _openssl("x509", "-req", "-in", request, "-CA", folder / "ca.crt", "-CAkey", folder / "ca.key",
             "-CAcreateserial", "-days", DAYS, "-extfile", extensions, "-out", certificate)  # fmt: skip
    (folder / f"{who.file}.kubeconfig").write_text(kubeconfig(folder, who))


def kubeconfig(folder: Path, who: Identity, server: str = API_SERVER) -> str:
    """A kubeconfig that carries its certificates inside (JSON, which is YAML too)."""

    def embedded(name: str) -> str:
        return base64.b64encode((folder / name).read_bytes()).decode()

    cluster = {"server": server, "certificate-authority-data": embedded("ca.crt")}
    user = {
        "client-certificate-data": embedded(f"{who.file}.crt"),
        "client-key-data": embedded(f"{who.file}.key"),
    }
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": who.user, "user": user}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": who.user}}],
            "current-context": "lab",
        },
        indent=1,
    )


def _key(path: Path) -> None:
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)


def _openssl(*words: str | Path) -> None:
    process.output_of(["openssl", *words])
