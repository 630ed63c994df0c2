"""Every instrument on a pretend accelerator: results lie where inputs do, or are plain numbers, and equal the CPU's."""

from device_inputs import *  # noqa: F403

# --- The table: a name and a call, which puts its inputs on the device that it is given ------------------------------


def statistics(name, *others):
    """A statistic of a Gram, and of what else it takes."""
    return f"grams.{name}", lambda at: getattr(grams, name)(a_gram(at), *(make(at) for make in others))


noise = lambda at: a_gram(at, 6, "noise")
labels = lambda at: torch.tensor([0, 1, 2, 3, 4, 5]).to(at)
taken = lambda at: images_of(at).train_images[:200]
values = lambda at: normal(3, 5).abs().sort(1, descending=True).values.to(at)
vectors = lambda at: normal(6, 3, 1, 8, 8, dtype=torch.float32).to(at)

CALLS = [
    ("augmentation.geometric", lambda at: augmentation.geometric(shown(at), torch.Generator(at).manual_seed(0))),
    ("augmentation.photometric", lambda at: augmentation.photometric(shown(at), stream(0))),
    ("augmentation.noise", lambda at: augmentation.noise(shown(at), 0.1, torch.Generator(at).manual_seed(0))),
    ("augmentation.attack", lambda at: augmentation.attack(network(at), shown(at), labels(at), 1.0, 2, stream(0))),
    ("published.caml", lambda at: curvature.caml(normal(3, 6).to(at), normal(3, 12, 6, name="near").to(at), 2)),
    ("published.at_origin", lambda at: published.at_origin(normal(3, 12, 6, name="near").to(at), 2)),
    ("published.caml, single", lambda at: curvature.caml(
        normal(3, 6).to(at), normal(3, 12, 6, name="near").to(at), 2, dtype=torch.float32)),
    ("pull_back.second_fundamental_form", lambda at: curvature.second_fundamental_form(
        normal(3, 12, 6, name="near").to(at), curvature.ball(2, 12, stream(0)))),
    ("quadratic.quadratic_design", lambda at: quadratic.quadratic_design(normal(4, 3).to(at))),
    ("quadratic.symmetric", lambda at: quadratic.symmetric(normal(4, 6).to(at), 3)),
    ("quadratic.finite", lambda at: quadratic.finite("x", normal(3).sum().to(at))),
    ("surfaces.quadric", lambda at: surfaces.quadric(normal(9, 3).to(at), normal(2, 3, 3).to(at))),
    ("layers.through", lambda at: near_of(at)["act1"]),
    ("layers.on_corners", lambda at: layers.on_corners(network(at), shown(at), {"act1": 2, "linear": 2}, 4)["linear"]),
    ("layers.on_ball", on_ball),
    ("layers.displacements", lambda at: layers.displacements(network(at), shown(at), ["act1"], a_ball(at))["act1"]),
    ("layers.published", lambda at: layers.published(network(at), shown(at), {"act1": 2, "linear": 2}, 4)),
    ("layers.invariant", lambda at: layers.invariant(network(at), shown(at), ["act1", "linear"], a_ball(at))),
    ("layers.by_solver", lambda at: layers.by_solver(network(at), shown(at), {"act1": 2, "linear": 2}, a_ball(at), 4)),
    ("layers.by_derivatives", lambda at: layers.by_derivatives(
        numerics.double(network(at, "mlp2-w8-gelu")), numerics.double(shown(at)), "act1", a_ball(at))),
    ("layers.limit", lambda at: layers.limit(network(at, "mlp2-w8-gelu"), shown(at), "act1", a_ball(at))),
    ("layers.in_float64", lambda at: layers.in_float64(network(at))(numerics.double(shown(at)))),
    ("layers.on_nearest", lambda at: layers.on_nearest(pictures(60).to(at))),
    ("layers.box", lambda at: layers.box(shown(at), 4)),
    ("readouts.random_readouts", lambda at: readouts.random_readouts(
        normal(3, 12, 6, name="near").to(at), a_ball(at), 4, 3, stream(0))),
    ("readouts.by_number", lambda at: readouts.by_number(normal(3, 12, 6, name="near").to(at), a_ball(at), [4], 3)),
    ("layers.dimensions", lambda at: layers.dimensions(network(at), pictures(40).to(at), ["input", "linear"])),
    ("portrait.profile", lambda at: portrait.profile(
        network(at), shown(at), pictures(40).to(at), ["input", "act1"],
        curvature.smooth_chart((1, 8, 8), 2, stream(0)).to(at), curvature.ball(2, 32, stream(0)), 0.1)),
    ("layers.median", lambda at: layers.median(normal(3).to(at))),
    ("normalisation.normalised", lambda at: normalisation.normalised(network(at), (0.5,), (0.2,))(shown(at))),
    ("normalisation.bare", lambda at: normalisation.bare(kept_network(at))(shown(at))),
    ("portrait.both", lambda at: portrait.both(
        network(at), shown(at), pictures(40).to(at), ["input", "act1"], {2: a_ball(at)}, 4)),
    ("neighbourhoods.Ball", lambda at: [a_ball(at).around(shown(at)), *a_ball(at).form(
        normal(3, 12, 6, name="near").to(at))]),
    ("neighbourhoods.charts", lambda at: curvature.charts(shown(at), 2, stream(0))["pca"]),
    ("neighbourhoods.pca_chart", lambda at: curvature.pca_chart(shown(at), 2)),
    ("neighbourhoods.svd_chart", lambda at: curvature.svd_chart(shown(at), 2)),
    ("neighbourhoods.neighbours", lambda at: curvature.neighbours(
        shown(at), curvature.smooth_chart((1, 8, 8), 2, stream(0)), curvature.ball(2, 12, stream(0)))),
    ("neighbourhoods.svd_corners", lambda at: curvature.svd_corners(shown(at), 4)),
    ("neighbourhoods.nearest", lambda at: curvature.nearest(normal(9, 4).to(at), 3)),
    ("user_models.build", lambda at: network(at, f"{__name__}:of_a_reader")(shown(at))),
    ("datasets.Dataset", lambda at: [
        images_of(at).select([3, 1]).train_images, images_of(at).select([3, 1]).test_labels,
        images_of(at).normalise(taken(at))]),
    ("datasets.load", lambda at: [images_of(at).train_images, images_of(at).test_labels, images_of(at).mean]),
    ("datasets.augment", lambda at: datasets.augment(taken(at), stream(0), pad=1, flip=True)),
    ("decoders.train", lambda at: decoders.train(
        normal(20, 4, 2, 2, dtype=torch.float32).to(at), pictures(20).to(at), 0, steps=3)(normal(5, 4, 2, 2).to(at))),
    ("decoders.Decoder", lambda at: decoders.train(
        normal(20, 7, dtype=torch.float32).to(at), pictures(20).to(at), 0, steps=3).state_dict()),
    ("fitting.descend", descended),
    ("fitting.descend, augmented", lambda at: descended(at, augment=True, geometric=True, photometric=True, noise=0.1)),
    ("fitting.descend, Adam", lambda at: descended(at, optimiser="adam", lr=0.01)),
    ("fitting.attacking", lambda at: descended(at, adversarial=0.5)),
    ("fitting.mixing", lambda at: [descended(at, mixup=1.0), descended(at, manifold_mixup=1.0)]),
    ("fitting.optimiser_of", lambda at: [optimised(at, "sgd"), optimised(at, "adam")]),
    ("fitting.training_set", lambda at: fitting.training_set(replace(SPEC, label_noise=0.4), images_of(at))),
    ("fitting.batches", lambda at: list(fitting.batches(
        replace(SPEC, augment=True), images_of(at), *fitting.training_set(SPEC, images_of(at)), 1))),
    ("dimension.two_nn", lambda at: dimension.two_nn(normal(60, 3).to(at))),
    ("dimension.pca_dimension", lambda at: dimension.pca_dimension(normal(60, 3).to(at), standardise=True)),
    ("directions.white_noise", lambda at: directions.white_noise(shown(at), 2, stream(0))),
    ("directions.matched_noise", lambda at: directions.matched_noise(shown(at), 2, stream(0))),
    ("directions.local_tangents", lambda at: directions.local_tangents(
        taken(at)[:9] / 255, images_of(at).train_labels[:9], taken(at) / 255, images_of(at).train_labels[:200], 6, 2)),
    ("directions.loss_gradient", lambda at: directions.loss_gradient(kept_network(at), shown(at))),
    ("directions.train_vae", a_vae),
    ("directions.Vae", a_vae),
    ("embeddings.stress", lambda at: embeddings.stress(distances().to(at), (distances() ** 2).to(at))),
    ("embeddings.mds", lambda at: embeddings.mds(distances().to(at))),
    ("embeddings.sphere_distances", lambda at: embeddings.sphere_distances(normal(6, 3).to(at))),
    ("embeddings.sphere", lambda at: embeddings.sphere((distances() / distances().max()).to(at))),
    ("embeddings.span", lambda at: embeddings.span(normal(4, 9).to(at))),
    ("embeddings.frechet_mean", lambda at: embeddings.frechet_mean(*a_path(at)[:2])),
    ("embeddings.tangent_pca", lambda at: embeddings.tangent_pca(*a_path(at)[:2])),
    ("flows.unit", lambda at: flows.unit(vectors(at), torch.ones(6).to(at))),
    ("flows.checked", lambda at: flows.checked(shown(at))),
    ("flows.apply", lambda at: [flows.apply(pictures(channels=3).to(at), name, 0.1) for name in flows.AUGMENTATIONS]),
    ("flows.generators", lambda at: flows.generators(pictures(channels=3).to(at))),
    ("push_forward.push", lambda at: push_forward.push(
        network(at), shown(at), vectors(at), ["input", "act2", "linear"])),
    ("push_forward.gram", lambda at: push_forward.gram(network(at), shown(at), vectors(at), ["input", "act2"], chunk=4)),
    ("push_forward.pooled", lambda at: push_forward.gram(network(at), shown(at), vectors(at), ["act2"], view=push_forward.pooled)),
    ("push_forward.noise_gain_at_output", lambda at: push_forward.noise_gain_at_output(network(at), shown(at), "linear")),
    ("push_forward.validity", moved),
    ("batteries.battery", lambda at: a_battery(at).groups),
    ("batteries.Battery", lambda at: [a_battery(at).vectors, a_battery(at).inside("local")]),
    ("batteries.described", lambda at: batteries.described(
        network(at), shown(at), a_battery(at), {"act2": 0.5, "linear": 1.0}, by_image="blur")),
    ("batteries.gains", lambda at: batteries.gains(pushed_battery(at), a_battery(at))),
    ("batteries.ranks", lambda at: batteries.ranks(pushed_battery(at), a_battery(at))),
    ("changes.followed", lambda at: changes.followed(network(at), shown(at), ["rotation"], [1.0], ["input", "linear"])),
    ("changes.withstood", lambda at: changes.withstood(network(at), shown(at), labels(at), 0.1, 0.5, 0)),
    ("geometry.images", lambda at: geometry.images(shown(at))),
    ("geometry.centred", lambda at: geometry.centred(normal(4, 3).to(at))),
    ("geometry.root", lambda at: geometry.root(lambda t: t - 0.3, torch.zeros(3).to(at), torch.ones(3).to(at))),
    ("geometry.varied", lambda at: geometry.varied("x", normal(3).norm().to(at))),
    *(statistics(name) for name in (
        "gain", "noise_gain", "sensitivity", "radial", "angular_gain", "cosines", "unit_columns", "singular_values",
        "stable_rank", "participation_ratio", "effective_rank")),
    ("grams.singular_values, of vectors", lambda at: grams.singular_values(normal(3, 4, 7).to(at))),
    statistics("relative_gain", noise),
    statistics("rate", a_gram, noise, noise),
    statistics("orthonormalised", a_gram),
    statistics("log_volume", noise),
    ("spans.captured", lambda at: spans.captured(vectors(at), vectors(at).flip(1))),
    ("grams.principal_angles", lambda at: grams.principal_angles(a_gram(at), [0, 1], [2, 3])),
    ("inversion.invert", lambda at: inverted(at)[0]),
    ("inversion.invert, author's", lambda at: inverted(at, optimisers.LITERAL)[0]),
    ("inversion.invert, strong", lambda at: inverted(at, replace(optimisers.STRONG, polish=3))[0]),
    ("inversion.start", lambda at: inversion.start(shown(at), stream(0))),
    ("inversion.shifted", lambda at: inversion.shifted(network(at), "avgpool", shown(at), stream(0))),
    ("inversion.equivalent_noise", lambda at: inversion.equivalent_noise(
        network(at), "avgpool", shown(at), torch.full((6,), 0.1).to(at), stream(0))),
    ("inversion.measures", judged),
    ("inversion.projection", lambda at: inversion.projection(
        normal(3, 7).to(at), normal(4, 7).to(at), normal(4, 7, name="start").to(at))),
    ("inversion.inverse_neighbourhood", lambda at: inversion.inverse_neighbourhood(
        [normal(5, 5).to(at), normal(5, 5, name="second").to(at)], 0.1, 3, stream(0))),
    ("activations.varying", lambda at: activations.varying(network(at), shown(at), ["input", "act1:in", "linear"])),
    ("activations.record", lambda at: activations.record(network(at), shown(at), ["input", "act1:in", "linear"])),
    ("activations.collect", lambda at: activations.collect(network(at), shown(at), ["act1"], lambda point, a: a.mean(1), 4)),
    ("activations.order", lambda at: activations.order(network(at), shown(at))),
    ("activations.flat", lambda at: activations.flat(shown(at))),
    ("numerics.double", lambda at: [numerics.double(shown(at)), *numerics.double(network(at)).parameters()]),
    ("image_similarity.ssim", lambda at: image_similarity.ssim(shown(at), pictures().flip(0).to(at))),
    ("image_similarity.edge_correlation", lambda at: image_similarity.edge_correlation(shown(at), pictures().flip(0).to(at))),
    ("image_similarity.low_pass", lambda at: image_similarity.low_pass(shown(at), 1.0)),
    ("image_similarity.spectral_slope", lambda at: image_similarity.spectral_slope(shown(at))),
    ("image_similarity.off_manifold",
     lambda at: image_similarity.off_manifold(shown(at), pictures().flip(0).to(at), {"all": slice(None)})),
    ("image_similarity.mmd", lambda at: image_similarity.mmd(normal(9, 3).to(at), normal(8, 3).to(at))),
    ("image_similarity.nearest", lambda at: image_similarity.nearest(
        normal(9, 3).to(at), normal(8, 3).to(at), torch.arange(9).to(at) % 8)),
    ("models.build", lambda at: [network(at, name)(shown(at)) for name in ("resnet8", "vgg8", "mlp2-gelu")]),
    ("models.points", lambda at: models.points(
        torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3)).to(at),
        shown(at))),
    ("path.measure", lambda at: path.measure(*a_path(at))),
    ("path.Path", lambda at: [getattr(path.measure(*a_path(at)), name) for name in (
        "length", "net_length", "distance", "net_distance", "slack", "net_slack", "turning")]),
    ("path.walk_distance", lambda at: path.walk_distance(torch.rand(2, 4, generator=stream(0)).to(at))),
    ("path.relative_slack", lambda at: path.relative_slack(path.measure(*a_path(at)))),
    ("comparison.random_walk", lambda at: comparison.random_walk(torch.full((4,), 0.3).to(at), 5, 3, stream(0))),
    ("comparison.shuffled", lambda at: comparison.shuffled(distances().to(at), stream(0), 3)),
    ("comparison.frechet", lambda at: comparison.frechet(distances().to(at))),
    ("comparison.dtw", lambda at: comparison.dtw(distances().to(at))),
    ("comparison.parallel", lambda at: comparison.parallel(a_path(at)[0], a_path(at)[1], a_path(at)[1].flip(0))),
    ("pretrained.build", lambda at: network(at, "torchvision:squeezenet1_1", 3, 32)(shown(at, 2, 3, 32))),
    ("pretrained.load", lambda at: pretrained.load(network(at), network(CPU).state_dict(), "a file").state_dict()),
    ("pretrained.classes", lambda at: pretrained.classes(network(at), {"linear.bias": torch.zeros(3)})),
    ("optimisers.descend", lambda at: searched(at, polish=0)),
    ("optimisers.polish", searched),
    ("optimisers.Sought", lambda at: sought(at)[0].at(pictures().flip(0).to(at), "l1")),
    ("optimisers.Trace", searched),
    ("procrustes.AngularShape", of_metric(procrustes.AngularShape())),
    ("procrustes.AngularShape, reduced", of_metric(procrustes.AngularShape(3, alpha=0.5))),
    ("procrustes.EuclideanShape", of_metric(procrustes.EuclideanShape())),
    ("metrics.gram", lambda at: [metrics.gram(normal(9, 4).to(at), kernel) for kernel in metrics.KERNELS]),
    *((f"metrics.AngularCKA, {each}", of_metric(metrics.AngularCKA(each))) for each in metrics.ESTIMATORS),
    ("metrics.AngularCKA, gaussian", of_metric(metrics.AngularCKA(kernel="gaussian"))),
    ("metrics.Stress", of_metric(metrics.Stress(rescale=True))),
    ("metrics.AffineInvariant", of_metric(metrics.AffineInvariant(0.1, relative=True))),
    ("jacobians.spectrum", lambda at: [spectrum_of(at).values, spectrum_of(at, "act1").values]),
    ("jacobians.noise_gain", lambda at: jacobians.noise_gain(spectrum_of(at))),
    ("jacobians.split", lambda at: jacobians.split(spectrum_of(at), normal(3, 1, 8, 8).to(at))),
    ("jacobians.input_gradient", lambda at: jacobians.input_gradient(
        network(at), "linear", shown(at), pictures().flip(0).to(at))),
    *((f"jacobians.{name}", lambda at, name=name: getattr(jacobians, name)(values(at))) for name in (
        "rank", "participation_ratio", "dimension", "condition")),
    ("tracing.depths", lambda at: tracing.depths(network(at), shown(at))),
    ("cache.checksum", lambda at: cache.checksum(shown(at), None)),
    ("training.trained", lambda at: [training.trained(SPEC, at).history, kept_network(at).state_dict()]),
    ("training.trained, none", lambda at: training.trained(replace(SPEC, weights="none"), at).accuracy),
    ("training.checkpoints", lambda at: [
        net.model.state_dict() for net in training.checkpoints(SPEC, [0, 1], [0.5], at)]),
    ("training.dataset", lambda at: training.dataset(replace(SPEC, classes=3), at).test_labels),
    ("training.calibrate", lambda at: training.calibrate(
        training.trained(replace(SPEC, model="resnet8-w4", epochs=0), at), 2).model.state_dict()),
    ("training.prefetch", lambda at: training.prefetch({SPEC: [0]}, at)),
]  # fmt: skip

# Tensors of the CPU, wherever the rest lies: what a generator of the CPU draws, and what comes from or goes to a file.
HERE = [
    ("neighbourhoods.ball", lambda at: curvature.ball(2, 6, stream(0))),
    ("neighbourhoods.smooth_chart", lambda at: curvature.smooth_chart((1, 8, 8), 3, stream(0))),
    ("directions.shapes", lambda at: directions.shapes(3, 8, stream(0))),
    ("cache.keep", lambda at: stored(at)),
    ("cache.kept", lambda at: stored(at)),
]

# What has neither tensors nor a device; the names of what tensors come in; the base classes of the metrics.
APART = {
    # Of tables and names; and what is new, tried with the chapters alone (`test_chapters_on_devices`).
    "comparison": "against_chance between_kinds matched_distance on_diagonal", "decoders": "read", "embeddings": "losses",
    "metrics": "by_name unseen", "path": "evenly finite lengths matched points_of ratio summary trend",
    "architectures": "MLP CNN VGG ResNet Block Pad",
    "cache": "folder whole write digest", "directions": "Shapes", "evaluation": "check unrounded differentiable",
    "fitting": "Spec steps_per_epoch rates", "flows": "Named Augmentation", "geometry": "Metric Sphere Flat",
    "grams": "Gram", "inversion": "Shift square_root_law", "jacobians": "Spectrum Split",
    "known": "folded learned shift_gain",
    "models": "Name parse check named", "normalisation": "Normalisation", "numerics": "device stream numpy_stream", "optimisers": "Procedure Inverted log_spaced",
    "pretrained": "names check normalisation read", "pull_back": "Form", "push_forward": "Validity",
    "quadratic": "shaped", "surfaces": "sphere", "tables": "log_means slope standardised",
    "tracing": "Call", "training": "Trained key", "user_models": "is_one check",
    "zoo": "Zoo",
}  # fmt: skip


def stored(at):
    path = cache.folder() / f"kept-{at}.safetensors"
    cache.keep(path, {"pictures": shown(at)})
    return cache.kept(path)


def same(found, expected):
    """The same numbers, in the same order."""
    if isinstance(expected, torch.Tensor):
        torch.testing.assert_close(found.detach().cpu(), expected.detach(), rtol=1e-5, atol=1e-7, equal_nan=True)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-5, nan_ok=True)
    else:
        assert found == expected


@pytest.mark.parametrize(("name", "call", "here"), [(*row, False) for row in CALLS] + [(*row, True) for row in HERE],
                         ids=[name for name, _ in CALLS + HERE])  # fmt: skip
def test_an_instrument_works_where_its_inputs_are_as_on_the_cpu(name, call, here, accelerator):
    found, shape = tree_flatten(call(accelerator))
    expected, shape_of_the_cpu = tree_flatten(call(CPU))
    assert shape == shape_of_the_cpu
    for one, other in zip(found, expected, strict=True):
        assert not isinstance(one, np.ndarray)
        assert not isinstance(one, torch.Tensor) or one.device == (CPU if here else accelerator)
        same(one, other)


def test_every_public_instrument_is_in_the_table():
    public = {
        f"{short(module)}.{name}"
        for module in MODULES
        for name, value in vars(module).items()
        if not name.startswith("_") and callable(value) and getattr(value, "__module__", "") == module.__name__
    }
    apart = {f"{module}.{name}" for module, names in APART.items() for name in names.split()}
    tried = {name.partition(",")[0] for name, _ in CALLS + HERE}
    assert not tried & apart and tried | apart == public


def short(module):
    return module.__name__.rpartition(".")[2]
