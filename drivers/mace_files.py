"""Model files of MACE: what a file is, and what to give instead if it is none."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MixpiError
from ..files.user_files import MiB, open_file, special_kind
from .programs import own_path


if TYPE_CHECKING:
    import torch


#: Names that end so are files, not foundation models.
MODEL_SUFFIXES = (".model", ".pt", ".pth")


#: Bytes of a model; the largest of the foundation models have a few hundred MiB.
LARGEST = 8192 * MiB

#: Heads of a model from before there were heads, as mace-torch calls them.
ONE_HEAD = ("Default",)


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits, without reading anything into it."""
    digest = hashlib.sha256()
    with open_file(path, "model file", largest=LARGEST) as stream:
        while chunk := stream.read(16 * MiB):
            digest.update(chunk)
    return digest.hexdigest()


def model_path(name: str, sha256: str | None, home: Path, *, key: str = "model") -> str:
    """The model's file, absolute, or the name of a foundation model.

    Parameters
    ----------
    name : str
        As configured.
    sha256 : str or None
        That it must have.
    home : Path
        Folder of the configuration.
    key : str
        That names it there, for messages.

    Raises
    ------
    MixpiError
        If the name is that of a file, and the file is missing.
    """
    given, model = home / name, own_path(name, home)
    if special := special_kind(given):
        raise MixpiError(f"model file {given} is {special}, no ordinary file (mace: {key})")
    if model.endswith(MODEL_SUFFIXES) and not os.path.isfile(model):
        state = "is no file" if os.path.exists(given) else "does not exist"
        raise MixpiError(f"model file {given} {state} (mace: {key})")
    if sha256 and not os.path.isfile(model):
        raise MixpiError(
            f"{model!r} is no file, so it cannot have a sha256 (mace: sha256): give the file that "
            "mace-torch has downloaded, or leave the sha256 out"
        )
    return model


def require_hash(found: str, wanted: str | None, path: Path) -> None:
    """Refuse a model that is not the one which the configuration names.

    Raises
    ------
    MixpiError
        With both hashes.
    """
    if wanted is not None and found != wanted:
        raise MixpiError(
            f"model {path} is not the one that was meant: its sha256 is {found}, expected is "
            f"{wanted} (mace: sha256, or --sha256). It was not loaded, because a model is code: if "
            "you have replaced it and trust it, write the new sha256"
        )


def load_network(path: Path, device: str, sha256: str | None = None) -> tuple[torch.nn.Module, str]:
    """The network in a model file, and the file's hash.

    A model is a pickle: loading it runs the code that is in it. It is read once, and what is
    loaded are the bytes that were hashed.

    Parameters
    ----------
    path : Path
        A ``.model`` as training writes it, or its compiled form.
    device : str
        Where its tensors go.
    sha256 : str, optional
        Of the file; another one is refused before it is loaded.

    Returns
    -------
    network : torch.nn.Module
        With energies as output.
    sha256 : str
        Of the file.

    Raises
    ------
    MixpiError
        If the file is anything else: says what.
    """
    import torch

    what = f"cannot use {path} as a MACE model"
    if path.is_dir():
        raise MixpiError(f"{what}: it is a folder; give the .model file in it")
    with open_file(path, "model file", largest=LARGEST) as stream:
        head = stream.read(64)
        # zip archives of torch, pickles: gigabytes of zeros need not be read to be refused
        data = head + (stream.read() if head[:1] in (b"P", b"\x80") else b"")
    if not head:
        raise MixpiError(f"{what}: it is empty; copy it again, or train the model to its end")
    if head.startswith(b"version https://git-lfs"):
        raise MixpiError(f"{what}: it only points to a file of Git LFS; run 'git lfs pull'")
    found = hashlib.sha256(data).hexdigest() if len(data) > len(head) else file_hash(path)
    require_hash(found, sha256, path)
    try:
        # like mace-torch itself this trusts the file: weights_only=True refuses every MACE model
        content = torch.load(io.BytesIO(data), map_location=device, weights_only=False)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0].split(". ")[0]
        detail = f"{type(error).__name__}{': ' + reason if reason else ''}"
        if isinstance(error, (ImportError, AttributeError)):
            raise MixpiError(
                f"{what}: it needs code that is not installed in this environment ({detail})"
            ) from None
        # torch writes zip archives
        damaged = head.startswith(b"PK")
        raise MixpiError(
            f"{what}: {'it is damaged or cut short' if damaged else 'torch cannot read it'} "
            f"({path.stat().st_size} bytes; {detail}); "
            + ("copy it again" if damaged else "give the .model file that training wrote")
        ) from None
    unfit = _unfit(content)
    if unfit:
        raise MixpiError(f"{what}: {unfit}")
    return content, found


def heads_of(network: torch.nn.Module) -> list[str]:
    """The heads that a network has, one for each level of theory it was trained on."""
    return [str(head) for head in getattr(network, "heads", None) or ONE_HEAD]


def require_head(head: str | None, heads: Sequence[str], model: object) -> None:
    """Refuse a head that a model lacks, and to choose one for the user.

    Raises
    ------
    MixpiError
        If the head is not among those given, or none is named though there are several.
    """
    listed = ", ".join(heads)
    if head is None and len(heads) > 1:
        raise MixpiError(
            f"model {model} has several heads, which give different energies and forces: {listed}; "
            "choose one (mace: head, or --head)"
        )
    if head is not None and head not in heads:
        raise MixpiError(
            f"model {model} has no head {head!r}; it has {listed} (mace: head, or --head)"
        )


def _unfit(content: object) -> str | None:
    """Why what was read is no network that can be evaluated, None if it is one."""
    import torch

    if isinstance(content, Mapping):
        if content and all(isinstance(value, torch.Tensor) for value in content.values()):
            return (
                "it holds the parameters alone (a state dict), without the network that they "
                "belong to; give the .model file that training wrote beside it"
            )
        if {"model", "model_state_dict", "state_dict", "optimizer"} & set(content):
            return (
                "it is a checkpoint of a training; give the .model file that training wrote at "
                "its end (a training that is restarted with --restart_latest writes it)"
            )
    # a compiled network keeps the name of its class
    name = getattr(content, "original_name", None) or type(content).__name__
    if name.startswith("LAMMPS_"):
        return "it was converted for LAMMPS; give the .model file that it was made from"
    if not isinstance(content, torch.nn.Module):
        return f"it holds a {type(content).__name__}; give the .model file that training wrote"
    facts = ("atomic_numbers", "r_max", "num_interactions")
    missing = [fact for fact in facts if not hasattr(content, fact)]
    if missing:
        return (
            f"it is a torch module {name} without {', '.join(missing)}; give the .model file of a "
            "MACE training"
        )
    if name in ("AtomicDipolesMACE", "AtomicDielectricMACE"):
        return f"it is a {name}, which predicts dipoles and neither energies nor forces"
    return None
