"""How minigrad is packaged. Settings of the tools (ruff, pytest) are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent


def version() -> str:
    """`__version__` of minigrad/__init__.py, read as text: building a wheel imports nothing."""
    text = (HERE / "minigrad" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise RuntimeError('minigrad/__init__.py has no line of the form __version__ = "X.Y.Z"')
    return found.group(1)


setup(
    name="minigrad",
    version=version(),
    description="A small autograd engine in NumPy or CuPy, and the GANs that a course meets",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="minigrad contributors",
    license="MIT",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    python_requires=">=3.11",
    packages=find_packages(include=["minigrad", "minigrad.*", "gans", "gans.*"]),
    package_data={
        "minigrad": ["data/files/*", "homework/*.toml"],
        "gans": ["weights/*", "pretrained/*"],
    },
    install_requires=[
        "numpy>=2.0",
        "threadpoolctl>=3.5",
        "pillow>=10.3",
        "matplotlib>=3.9",
        "tqdm>=4.66",
        "tyro>=0.9",
        "pooch>=1.8",
    ],
    extras_require={
        # One CuPy wheel per CUDA major version; they exclude each other.
        "cupy": ["cupy-cuda13x>=13.6"],
        "cupy-cuda12": ["cupy-cuda12x>=13.6"],
        # tests/gpu runs the host code of exactly this wheel, on a GPU or on the stand-in.
        "gpu-test": ["cupy-cuda13x==14.2.0", "pytest>=8.2", "hypothesis>=6.100", "scipy>=1.13"],
        "test": [
            "pytest>=8.2",
            "pytest-xdist>=3.8",
            "hypothesis>=6.100",
            "nbclient>=0.10",
            "ipykernel>=6.29",
            "sympy>=1.12",
            "scipy>=1.13",
            "ruff>=0.6",
        ],
        "notebooks": ["jupyterlab>=4.2", "sympy>=1.12", "scipy>=1.13"],
        "docs": ["sphinx>=7.3", "myst-nb>=1.1", "furo>=2024.5.6"],
        "bench": ["torch>=2.3"],
        "instructor": ["nbformat>=5.10", "nbclient>=0.10"],
    },
    entry_points={
        "console_scripts": [
            "minigrad = minigrad.__main__:main",
            "gans = gans.__main__:main",
            "minigrad-hw = minigrad.homework.cli:main",
        ]
    },
    zip_safe=False,
)
