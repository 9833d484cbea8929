import torch
from skimage.segmentation import slic
from sklearn.linear_model import Ridge
from tiny_vits import check_contract, linear_model, make_images, make_model, pixel_weights
from torch.nn import functional as F

from ctxai.explain import LIME


def test_of_a_linear_model_the_coefficients_are_the_superpixels_shares():
    model = linear_model()
    image = F.interpolate(make_images(model, 1)[..., :4, :4], size=(32, 32), mode="bicubic")
    maps = LIME(model, n_samples=600, superpixels=12).attribute(image, 2)[0]
    share = ((image - image.mean(dim=(2, 3), keepdim=True)) * pixel_weights(model, 2)).sum(dim=1)[0]
    expected = torch.zeros_like(maps)
    for value in maps.unique():
        expected[maps == value] = share[maps == value].sum()
    assert maps.unique().numel() > 4
    torch.testing.assert_close(maps, expected, rtol=0.1, atol=0.1 * float(expected.abs().max()))


def test_superpixels_cover_flat_and_coloured_images_alike():
    model = make_model("vit")
    flat = torch.ones_like(make_images(model, 1))
    maps = LIME(model, n_samples=50, superpixels=9).attribute(flat, 0)
    assert maps.isfinite().all()
    assert maps.abs().max() < 1e-6  # hiding a part of a flat image by its mean changes nothing


def test_the_regression_is_weighted_ridge():
    model = make_model("vit")
    image = make_images(model, 1)
    maps = LIME(model, n_samples=200, superpixels=6, seed=2).attribute(image, 1)[0]
    pixels = image[0].movedim(0, -1).numpy()
    pixels = (pixels - pixels.min()) / (pixels.max() - pixels.min())
    parts = torch.from_numpy(slic(pixels, 6, compactness=10.0, start_label=0, channel_axis=-1))
    count = int(parts.max()) + 1
    with torch.random.fork_rng():
        torch.manual_seed(2)
        shown = torch.stack([torch.bernoulli(torch.full((1, count), 0.5))[0] for _ in range(200)])
    mean = image.mean(dim=(2, 3), keepdim=True)
    with torch.no_grad():
        outputs = torch.cat([model(torch.where(row[parts] > 0, image, mean))[:, 1] for row in shown])
    distance = 1 - shown.mean(dim=1).sqrt()
    fitted = Ridge(alpha=1.0).fit(shown, outputs, sample_weight=torch.exp(-((distance / 0.25) ** 2)))
    expected = torch.tensor(fitted.coef_, dtype=torch.float64)[parts]
    torch.testing.assert_close(maps, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_lime_keeps_the_contract():
    check_contract(LIME, kinds=["vit", "wide grid", "two sizes of tokens"], tolerance=1e-4, n_samples=60, superpixels=6)
