"""What runs a student's code in homework 5: DCGAN.

Exact networks and steps are run in float64, so that one right answer has many digits. Weights come
from outside: a network's kernels are found by their shapes and its batch norms by their channels,
so it does not matter in which order or under which names a network holds its layers.

Leaves out: everything that judges, and the true numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy

from .tools import Arrays, scripted_random, tensor

__all__ = [
    "decoded",
    "discriminator_shapes",
    "discriminator_values",
    "generator_shapes",
    "generator_values",
    "grid",
    "initial_spread",
    "left_alone",
    "margins",
    "noise",
    "parameter_shapes",
    "refused",
    "sample_sheet",
    "sizes",
    "train_step",
    "train_step_of_the_model",
    "train_step_report",
]


@contextlib.contextmanager
def _float64(lib: Callable) -> Iterator[None]:
    """New networks are in float64 inside."""
    minigrad = lib("minigrad")
    before = minigrad.default_dtype()
    minigrad.set_default_dtype("float64")
    try:
        yield
    finally:
        minigrad.set_default_dtype(before)


def _shape(array: numpy.ndarray) -> tuple[int, ...]:
    return tuple(int(side) for side in array)


# ---------------------------------------------------------------------------------- Q1: the sides


def sizes(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """first_map of every shape."""
    found = [lib("gans.dcgan").first_map(_shape(row)) for row in inputs["shapes"]]
    return {"side of the first map": numpy.array([first for first, _ in found]),
            "doublings": numpy.array([doublings for _, doublings in found])}


def refused(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Whether first_map raises a ShapeError for these shapes; zeros at the end of a row are none.
    """
    found, ShapeError = {}, lib("minigrad.errors").ShapeError
    for row in inputs["shapes"]:
        shape = _shape(row[row > 0])
        try:
            lib("gans.dcgan").first_map(shape)
        except ShapeError:
            found[f"ShapeError for {shape}"] = True
        else:
            found[f"ShapeError for {shape}"] = False
    return found


def margins(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Images with a margin, without it, and the gradients of both."""
    m, Margin = int(inputs["margin"]), lib("gans.dcgan").Margin
    grad, found = lib("minigrad").grad, {}
    for what, margin in (("with a margin", m), ("without it", -m)):
        x = tensor(lib, inputs[f"x {what}"])
        y = Margin(margin)(x)
        found[f"images {what}"] = y
        found[f"gradient {what}"] = grad(y, x, tensor(lib, inputs[f"upstream {what}"]))
    low = tensor(lib, inputs["x with a margin"].astype("float32"))
    return {**found, "float32 images with a margin": Margin(m)(low)}


# ------------------------------------------------------------------------------ Q2, Q3: networks


def _settings(inputs: Arrays) -> tuple[int, int, int]:
    return tuple(int(inputs[name]) for name in ("latent_dim", "features", "margin"))


def _generator(lib: Callable, inputs: Arrays, data_shape: numpy.ndarray) -> Any:
    latent_dim, features, margin = _settings(inputs)
    return lib("gans.dcgan").generator(latent_dim, features, _shape(data_shape), margin)


def _discriminator(lib: Callable, inputs: Arrays, data_shape: numpy.ndarray) -> Any:
    _, features, margin = _settings(inputs)
    return lib("gans.dcgan").discriminator(_shape(data_shape), features, margin)


def generator_shapes(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """What images of new generators are like, by their side; so many as "n" says for each."""
    random = numpy.random.default_rng(int(inputs["seed"]))
    found: dict[str, Any] = {}
    for n, shape in zip(inputs["n"].tolist(), inputs["shapes"], strict=True):
        z = random.standard_normal((n, int(inputs["latent_dim"])), dtype="float32")
        with lib("minigrad").no_grad():
            images = _generator(lib, inputs, shape)(tensor(lib, z, False)).numpy()
        found |= {f"side {shape[1]}: {name}": value for name, value in _likeness(images).items()}
        found |= {f"side {shape[1]}: lowest": images.min(),
                  f"side {shape[1]}: largest": abs(images).max()}
    return found


def _likeness(array: numpy.ndarray) -> dict[str, Any]:
    """Shape and dtype: values of new networks are chance."""
    return {"shape": numpy.array(array.shape), "is float32": array.dtype == numpy.float32}


def discriminator_shapes(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """What logits of new discriminators are like, by the side of the images."""
    random = numpy.random.default_rng(int(inputs["seed"]))
    found: dict[str, Any] = {}
    for n, shape in zip(inputs["n"].tolist(), inputs["shapes"], strict=True):
        x = random.standard_normal((n, *shape), dtype="float32")
        with lib("minigrad").no_grad():
            logits = _discriminator(lib, inputs, shape)(tensor(lib, x, False)).numpy()
        found |= {f"side {shape[1]}: {name}": value for name, value in _likeness(logits).items()}
    return found


def parameter_shapes(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The shapes of a network's parameters, by the side of the images: a row each, 0 behind it."""
    network = _generator if inputs["of G"] else _discriminator
    found = {}
    for shape in inputs["shapes"]:
        rows = [p.shape for p in network(lib, inputs, shape).parameters()]
        table = numpy.zeros((len(rows), 4), dtype="int64")
        for row, sides in zip(table, rows, strict=True):
            row[:len(sides)] = sides
        found[f"side {shape[1]}"] = table
    return found


def _layers(network: Any) -> Iterator[tuple[str, Any]]:
    """The layers with weights, and how the inputs name what belongs into them."""
    for _, layer in network.named_modules():
        weight = vars(layer).get("weight")
        if weight is not None and weight.ndim == 4:
            yield f"kernel {weight.shape}", layer
        elif weight is not None and "running_mean" in vars(layer):
            yield f"batch norm {weight.shape[0]}", layer


def _put(network: Any, inputs: Arrays, prefix: str = "") -> None:
    """The given kernels, and the scale and the shift of batch norms, into a network."""
    found = dict(_layers(network))
    wanted = {name[len(prefix):]: value for name, value in inputs.items()
              if name.startswith((f"{prefix}kernel", f"{prefix}batch norm"))}
    missing, extra = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if missing or extra:
        raise ValueError(f"the network's layers are not those asked for; missing: "
                         f"{', '.join(missing) or 'none'}; too many: {', '.join(extra) or 'none'}")
    for name, value in wanted.items():
        layer = found[name]
        if name.startswith("kernel"):
            layer.weight.copy_(value)
        else:
            layer.weight.copy_(value[0])
            layer.bias.copy_(value[1])
            if len(value) == 4:
                layer.running_mean.copy_(value[2])
                layer.running_var.copy_(value[3])


def _taken(network: Any, prefix: str = "") -> dict[str, Any]:
    """The weights of a network under the names of the inputs, copied."""
    return {prefix + name: layer.weight.numpy().copy() if name.startswith("kernel")
            else numpy.stack([layer.weight.numpy(), layer.bias.numpy()])
            for name, layer in _layers(network)}


def generator_values(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The images of a generator with the given weights, in training."""
    with _float64(lib):
        G = _generator(lib, inputs, inputs["data_shape"])
        _put(G, inputs)
        return {"images": G(tensor(lib, inputs["z"], False))}


def discriminator_values(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The logits of a discriminator with the given weights, in training."""
    with _float64(lib):
        D = _discriminator(lib, inputs, inputs["data_shape"])
        _put(D, inputs)
        return {"logits": D(tensor(lib, inputs["x"], False))}


# ------------------------------------------------------------------------------------ Q4: weights


class _Given(numpy.random.Generator):
    """A NumPy generator whose normal and uniform numbers are given ones, in order."""

    def __init__(self, normal: numpy.ndarray, uniform: numpy.ndarray | None = None) -> None:
        super().__init__(numpy.random.PCG64(0))
        self._normal = scripted_random(normal)
        self._uniform = None if uniform is None else scripted_random(uniform)

    def standard_normal(self, size: Any = None, dtype: Any = "float64", out: Any = None) -> Any:
        return self._normal.standard_normal(size, dtype)

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        return loc + scale * self.standard_normal(size)

    def random(self, size: Any = None, dtype: Any = "float64", out: Any = None) -> Any:
        if self._uniform is None:
            return super().random(size, dtype)
        return self._uniform.random(size, dtype)

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        return low + (high - low) * self.random(size)


def initial_spread(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The weights of layers after dcgan_init, which began with odd values.

    The numbers that minigrad's generator draws are given.
    """
    nn, random = lib("minigrad.nn"), lib("minigrad").random
    c = int(inputs["channels"])
    layers = {"Conv2d": nn.Conv2d(c, 2 * c, 4), "the next Conv2d": nn.Conv2d(c, 2 * c, 4),
              "ConvTranspose2d": nn.ConvTranspose2d(2 * c, c, 4),
              "BatchNorm2d": nn.BatchNorm2d(32 * c * c)}
    network = nn.Sequential(layers["Conv2d"], nn.Sequential(layers["ConvTranspose2d"], nn.ReLU()),
                            layers["BatchNorm2d"], layers["the next Conv2d"])
    for layer in layers.values():
        for parameter in (layer.weight, layer.bias):
            parameter.copy_(numpy.full(parameter.shape, 3.0, dtype="float32"))
    before = random.generator()
    random.set_generator(_Given(inputs["numbers"]))
    try:
        lib("gans.dcgan").dcgan_init(network)
    finally:
        random.set_generator(before)
    return {**{f"weight of {name}": layer.weight.numpy().copy() for name, layer in layers.items()},
            **{f"bias of {name}": layer.bias.numpy().copy() for name, layer in layers.items()}}


def left_alone(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """What dcgan_init returns, and what became of all that is not for it."""
    nn = lib("minigrad.nn")
    with _float64(lib):
        linear, norm = nn.Linear(*inputs["weight"].shape), nn.BatchNorm2d(3)
        network = nn.Sequential(nn.Conv2d(1, 3, 4, bias=False), norm, nn.Flatten(), linear)
    linear.weight.copy_(inputs["weight"])
    linear.bias.copy_(inputs["bias"])
    norm.running_mean.copy_(inputs["running_mean"])
    norm.running_var.copy_(inputs["running_var"])
    returned = lib("gans.dcgan").dcgan_init(network)
    first = network[0]
    return {"returns the module": returned is network,
            "a layer without bias has none": first.bias is None,
            "float64 stays float64": str(first.weight.dtype) == "float64"
            and str(norm.weight.dtype) == "float64",
            "is learned": all(p.requires_grad for p in network.parameters()),
            "weight of Linear": linear.weight.numpy().copy(),
            "bias of Linear": linear.bias.numpy().copy(),
            "running_mean": norm.running_mean.numpy().copy(),
            "running_var": norm.running_var.numpy().copy()}


# ---------------------------------------------------------------------------- Q5: noise and a step


def _bare(lib: Callable) -> Any:
    """A DCGAN without networks, which a check puts in by itself."""
    dcgan = lib("gans.dcgan").DCGAN
    return object.__new__(dcgan)


def noise(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Noise by a generator of given numbers, twice from equal ones, and by minigrad's own."""
    minigrad, Prior = lib("minigrad"), lib("gans.dcgan").Prior
    model, n, seed = _bare(lib), int(inputs["n"]), int(inputs["seed"])
    model.latent_dim = int(inputs["latent_dim"])
    model.prior = Prior.NORMAL if inputs["normal"] else Prior.UNIFORM
    one, equal = (_Given(inputs["numbers"], inputs["from 0 to 1"]) for _ in range(2))
    z = model.noise(n, one)
    found = {"z": z, "z of an equal generator": model.noise(n, equal),
             "is learned": bool(z.requires_grad)}
    minigrad.manual_seed(seed)
    found["z without a generator"] = model.noise(n)
    found["the next z without a generator"] = model.noise(n)
    minigrad.manual_seed(seed)
    found["z without a generator, seeded again"] = model.noise(n)
    return found


def _small_networks(lib: Callable, inputs: Arrays) -> tuple[Any, Any]:
    """A G and a D for images of 8 x 8 pixels, with a batch norm each."""
    nn = lib("minigrad.nn")
    latent, width = inputs["G width"]
    f = int(inputs["D width"])
    G = nn.Sequential(
        nn.Reshape(int(latent), 1, 1), nn.ConvTranspose2d(int(latent), int(width), 4, bias=False),
        nn.BatchNorm2d(int(width)), nn.ReLU(),
        nn.ConvTranspose2d(int(width), 1, 4, stride=2, padding=1, bias=False), nn.Tanh())
    D = nn.Sequential(
        nn.Conv2d(1, f, 4, stride=2, padding=1, bias=False), nn.LeakyReLU(0.2),
        nn.Conv2d(f, 2 * f, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(2 * f),
        nn.LeakyReLU(0.2), nn.Conv2d(2 * f, 1, 2, bias=False), nn.Flatten())
    return G, D


class _GivenNoise:
    """The noise of one step, however often it is asked for: a second draw is the same."""

    def __init__(self) -> None:
        self.z, self.asked = None, []

    def __call__(self, n: int, g: Any = None) -> Any:
        self.asked.append(n)
        return self.z


def _hand_made(lib: Callable, inputs: Arrays) -> tuple[Any, _GivenNoise]:
    """A DCGAN of the small networks, with plain gradient descent."""
    optim = lib("minigrad.optim")
    objectives = lib("gans.objectives")
    model, given = _bare(lib), _GivenNoise()
    model.G, D = _small_networks(lib, inputs)
    _put(model.G, inputs, "G ")
    _put(D, inputs, "D ")
    model.opt_G = optim.SGD(model.G.parameters(), lr=float(inputs["lr_G"]))
    opt_D = optim.SGD(D.parameters(), lr=float(inputs["lr_D"]))
    objective = objectives.OBJECTIVES[objectives.Objective.NON_SATURATING]
    model.loss = lib("gans.ganloss").GANLoss(D, opt_D, objective)
    decay = float(inputs["ema_decay"])
    model.ema = optim.EMA(model.G, decay=decay) if decay else None
    if decay:
        _put(model.ema.module, inputs, "average ")
    model.latent_dim = int(inputs["G width"][0])
    model.batch_size = inputs["real"].shape[1] + 2  # the last batch of a set may be smaller
    model.schedules, model.noise = [], given
    if "total" in inputs:
        model.schedules = [optim.LinearDecay(opt, start=0, total=int(inputs["total"]))
                           for opt in (model.opt_G, opt_D)]
    return model, given


def _trained(lib: Callable, inputs: Arrays, model: Any, given: _GivenNoise) -> list[Any]:
    """What train_step returned, once for each batch of the inputs."""
    reports = []
    batches = iter([tensor(lib, real, False) for real in inputs["real"]])
    for z in inputs["z"]:
        given.z = tensor(lib, z, False)
        reports.append(model.train_step(batches))
    return reports


def _players(model: Any) -> dict[str, Any]:
    """The weights of both, D's first, of G's average, and the rates if they are planned."""
    found = {**_taken(model.D, "D "), **_taken(model.G, "G ")}
    if model.ema is not None:
        found |= _taken(model.ema.module, "average ")
    if model.schedules:
        found |= {"rate of D": model.loss.opt_D.lr, "rate of G": model.opt_G.lr}
    return found


def train_step(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The weights after steps of small networks by plain descent."""
    with _float64(lib):
        model, given = _hand_made(lib, inputs)
        _trained(lib, inputs, model, given)
        return _players(model)


def train_step_report(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """What train_step returned, and how many fakes were made."""
    with _float64(lib):
        model, given = _hand_made(lib, inputs)
        report = _trained(lib, inputs, model, given)[-1]
        return {**{name: report[name] for name in ("d_loss", "g_loss", "d_real", "d_fake")},
                "number of fakes": given.asked[0] if given.asked else 0}


def train_step_of_the_model(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The weights after steps of a DCGAN for 16 x 16 pixels, by Adam."""
    with _float64(lib):
        model = lib("gans.dcgan").DCGAN(
            _shape(inputs["data_shape"]), latent_dim=int(inputs["latent_dim"]),
            features_G=int(inputs["features"]), features_D=int(inputs["features"]),
            batch_size=inputs["real"].shape[1], lr_G=float(inputs["lr_G"]),
            lr_D=float(inputs["lr_D"]), beta1=float(inputs["beta1"]))
        _put(model.G, inputs, "G ")
        _put(model.D, inputs, "D ")
        model.noise = given = _GivenNoise()
        _trained(lib, inputs, model, given)
        return _players(model)


# ---------------------------------------------------------------------------- Q6: the sample sheet


def decoded(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Images of G and of its average, and in which state decode leaves the network."""
    found = {}
    with _float64(lib):
        for training in (True, False):
            for who in ("G", "average"):
                model = _bare(lib)
                model.G, _ = _small_networks(lib, inputs)
                _put(model.G, inputs, "G ")
                model.ema = None
                if who == "average":
                    model.ema = lib("minigrad.optim").EMA(model.G, decay=0.5)
                    _put(model.ema.module, inputs, "average ")
                network = model.G if who == "G" else model.ema.module
                network.train(training)
                images = model.decode(tensor(lib, inputs["z"], False))
                state = f"{who} in {'training' if training else 'evaluation'}"
                norm = dict(_layers(network))[f"batch norm {int(inputs['G width'][1])}"]
                found |= {f"images, {state}": images,
                          f"recorded, {state}": bool(images.requires_grad),
                          f"training afterwards, {state}":
                              bool(network.training and norm.training),
                          f"running_mean afterwards, {state}": norm.running_mean.numpy().copy()}
    return found


def grid(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Grey and coloured images laid out."""
    to_grid = lib("gans.plots").to_grid
    found = {}
    for kind in ("grey", "coloured"):
        for columns in inputs["columns"]:
            name = f"{kind} images in {columns} columns"
            found[name] = to_grid(inputs[kind], int(columns))
            found[f"uint8, {name}"] = found[name].dtype == numpy.dtype("uint8")
    return found


def sample_sheet(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """A sheet of samples of a DCGAN: drawn, decoded, turned into pictures, laid out."""
    plots, n, seed = lib("gans.plots"), int(inputs["n"]), int(inputs["seed"])
    lib("minigrad").manual_seed(seed)
    model = lib("gans.dcgan").DCGAN(_shape(inputs["data_shape"]), latent_dim=3, features_G=2,
                                    features_D=1)
    for p in model.G.parameters():
        p.copy_(20 * p.numpy())  # new weights are small, and all images nearly grey
    found = {}
    for name in ("", " of an equal generator"):
        images = plots.to_images(model.sample(n, numpy.random.default_rng(seed)).numpy())
        found |= {f"images{name}": images,
                  f"sheet{name}": plots.to_grid(images, int(inputs["columns"]))}
    return found
