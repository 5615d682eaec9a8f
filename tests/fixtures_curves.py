"""The small runs of `fixtures_run` with networks that were really trained: their curves, remarks, sizes and layers."""

from dataclasses import asdict, replace

import numpy as np
from fixtures_run import SmallTask, write_run

from harness.findings import Reason
from harness.networks.history import EarlyStopping, StepStats, TrainingHistory
from harness.networks.losses import Loss
from harness.networks.rows import make_training_rows, make_validation_rows
from harness.store.record import Layer, Record
from harness.store.store import Store


def remark(percent: int) -> Reason:
    """What a network says of batches without the rarest class."""
    message = f"about {percent} % of the batches of 8 rows have none of the rarest class"
    return Reason("batches_without_rarest_class", message, (("absence", percent / 100), ("batch_size", 8)))


def diverged(rate: float) -> Reason:
    """The failure of a trial whose loss was not finite."""
    message = f"training diverged: the loss is nan after epoch 3 at learning rate {rate}"
    return Reason("nonfinite_loss", message, (("epoch", 3), ("learning_rate", rate)))


def train(X: np.ndarray, y: np.ndarray, seed: int, rate: float, epochs: int = 30) -> TrainingHistory:
    """A network without hidden layers, trained by plain descent under the early stopping that all networks use."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    X = ((X - X.mean(axis=0)) / X.std(axis=0).clip(1e-6)).astype(np.float32)
    rest, aside = order[: -len(y) // 4], order[-len(y) // 4 :]
    rows, classes = make_training_rows(X[rest], y[rest], None)
    validation = make_validation_rows((X[aside], y[aside]), rows, classes)
    loss = Loss(len(classes))
    stopping = EarlyStopping(loss, rows, validation, patience=5)
    kernel = rng.normal(0, 0.5, (X.shape[1], loss.outputs)).astype(np.float32)
    for _ in range(epochs):
        logits = rows.X @ kernel + stopping.prior_logits
        gradient = rows.X.T @ loss.gradient(logits, rows.y) / len(rows.y)
        step = StepStats(rate, np.array([np.linalg.norm(gradient)]))
        stopping.record_epoch(step, logits, validation.X @ kernel + stopping.prior_logits)
        if stopping.should_stop:
            break
        kernel = kernel - np.float32(rate) * gradient
    return stopping.history(8)


def arrays(fold: str, history: TrainingHistory, seed: int) -> dict[str, np.ndarray]:
    """The curves of a fit as a cell stores them."""
    curves = {
        name: np.asarray(values) for name, values in asdict(history).items() if name != "remarks" and np.size(values)
    }
    return {f"{fold}/{name}": values for name, values in (curves | {"seed": np.array(seed)}).items()}


def layers(task: SmallTask, units: int) -> tuple[Layer, ...]:
    """What a network of one hidden layer would be made of."""
    columns, outputs = task.X.shape[1], len(task.classes) if len(task.classes) > 2 else 1
    return (
        ("rows", "Input", (columns,), 0),
        ("dense_1", "Dense, relu", (units,), columns * units + units),
        ("dropout_1", "Dropout 0.2", (units,), 0),
        ("probabilities", "Dense, sigmoid", (outputs,), units * outputs + outputs),
    )


def with_curves(folder, tasks: list[SmallTask], endings=None) -> Store:
    """A run whose cells of `bayes` left the curves of two trials with two inner folds, and of two refits."""
    store = write_run(folder, tasks, endings)
    by_name = {task.name: task for task in tasks}
    for record in store.read_every_record():
        if record.family == "bayes" and record.status == "ok":
            train_cell(store, record, by_name[record.task])
    return store


def train_cell(store: Store, record: Record, task: SmallTask) -> None:
    """Train the networks of one cell and store it again."""
    predictions = store.read_predictions(record)
    X, y = task.X[predictions.train_rows], predictions.train_y
    outcomes = []
    for outcome, rate in zip(record.outcomes, (0.05, 0.6), strict=True):
        inner = {}
        for fold in range(2):
            half = np.arange(len(y)) % 2 != fold
            inner |= arrays(f"inner_{fold}", train(X[half], y[half], record.seed + fold, rate), record.seed + fold)
        store.write_curves(record.id, f"trial_{outcome.trial}", inner)
        history = train(X, y, record.seed + 9, rate)
        store.write_curves(record.id, f"final_{outcome.stage}", arrays("outer", history, record.seed + 9))
        made = layers(task, 16 if record.fold else 8)
        remarks = (remark(10 + record.fold),) if record.strategy == "none" else ()
        outcomes.append(
            replace(
                outcome,
                parameters=sum(parameters for *_, parameters in made),
                model_bytes=4 * sum(parameters for *_, parameters in made) + 500,
                remarks=remarks,
                epoch=history.epoch,
                architecture=made,
            )
        )
    failed = {diverged(0.7): 1} if record.fold == 0 else {}
    store.write_cell(
        replace(record, outcomes=tuple(outcomes), failed_trials=len(failed), trial_failures=failed), predictions
    )


#: `bayes` cannot weight three classes.
LOST = {("three_digits", "bayes", "class_weight", fold): ("failed", "ValueError: three classes") for fold in range(4)}
