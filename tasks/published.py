"""Published results of the case studies that the suite `documents` repeats, with the numbers of their tables."""

from __future__ import annotations

from dataclasses import replace

from harness.registry.published import PublishedRow, PublishedTable

_IMBALANCED = "Machine Learning & Deep Learning for Imbalanced Classification (README)"
_SEGMENTATION = "Sequential Deep Learning Model - Customer Segmentation (README)"
_CHURN = "Customer Churn Prediction using Keras Sequential Model (README)"
_PRACTICE = "Deep Learning Models in Practice (README)"
_UNSTATED_SPLIT = (
    "split, threshold and intervals are not stated, nor which rows were used: rows with the same share of subscribers were "
    "selected from the public data for this task"
)
_NO_NUMBERS = "the document names these metrics and has no numbers"

_SCORES = ("accuracy", "roc_auc")
_METHOD_METRICS = ("accuracy", "precision_negative", "recall_negative", "precision", "recall")
_REPORT_COLUMNS = ("Accuracy", "Precision", "Recall", "F1", "ROC AUC")
_REPORT_METRICS = ("accuracy", "precision", "recall", "f1", "roc_auc")

SUBSCRIPTION_MODELS = PublishedTable(
    task="subscription",
    title="Logistic Regression & Gradient Boosting",
    source=_IMBALANCED,
    protocol=_UNSTATED_SPLIT,
    label_heading="Model",
    columns=("Accuracy", "ROC AUC"),
    rows=(
        PublishedRow("Gradient Boosting", "gradient_boosting", "none", _SCORES, ("0.9270", "0.78")),
        PublishedRow("Logistic Regression", "logistic_regression", "none", _SCORES, ("0.9275", "0.76")),
    ),
)

SUBSCRIPTION_NETWORK = PublishedTable(
    task="subscription",
    title="Deep Learning Results (Before Addressing Imbalance)",
    source=_IMBALANCED,
    protocol=_UNSTATED_SPLIT,
    label_heading="Metric",
    columns=("Class 0 (No)", "Class 1 (Yes)"),
    rows=(
        PublishedRow("Precision", "dense_network", "none", ("precision_negative", "precision"), ("0.9328", "0.4749")),
        PublishedRow("Recall", "dense_network", "none", ("recall_negative", "recall"), ("0.9882", "0.1304")),
        PublishedRow("F1-Score", "dense_network", "none", ("f1_negative", "f1"), ("0.96", "0.20")),
        PublishedRow("Overall Accuracy", "dense_network", "none", ("accuracy", ""), ("0.9233", "")),
    ),
)

SUBSCRIPTION_METHODS = PublishedTable(
    task="subscription",
    title="Deep Learning After Handling Class Imbalance",
    source=_IMBALANCED,
    protocol=_UNSTATED_SPLIT,
    label_heading="Method",
    columns=("Accuracy", "Precision (No)", "Recall (No)", "Precision (Yes)", "Recall (Yes)"),
    rows=tuple(
        PublishedRow(label, "dense_network", strategy, _METHOD_METRICS, values)
        for label, strategy, values in (
            ("Baseline (No Resampling)", "none", ("0.9233", "0.93", "0.99", "0.47", "0.13")),
            ("SMOTE", "smote", ("0.9185", "0.91", "0.95", "0.51", "0.52")),
            ("ADASYN", "adasyn", ("0.9112", "0.89", "0.93", "0.50", "0.56")),
            ("Hybrid (SMOTE+Tomek)", "smote_tomek", ("0.9201", "0.92", "0.96", "0.52", "0.49")),
            ("Class Weight Adj.", "class_weight", ("0.9145", "0.90", "0.97", "0.48", "0.41")),
        )
    ),
)

SEGMENTATION = PublishedTable(
    task="customer_segmentation_with_duration",
    title="Campaign response, sequential network",
    source=_SEGMENTATION,
    protocol=(
        "the accuracy is that on training rows, the F1 that on one test part; whether the length of the call was used, which is "
        "known only after it, is not stated"
    ),
    label_heading="Model",
    columns=("Accuracy", "F1 (class 1)"),
    rows=(PublishedRow("Sequential network", "dense_network", "none", ("accuracy", "f1"), ("0.9", "0.47")),),
)

CHURN = PublishedTable(
    task="telco_churn",
    title="Customer churn, Keras sequential model",
    source=_CHURN,
    protocol=_NO_NUMBERS,
    label_heading="Model",
    columns=_REPORT_COLUMNS,
    rows=(PublishedRow("Keras sequential model", "dense_network", "none", _REPORT_METRICS),),
)

SPAM = PublishedTable(
    task="sms_spam",
    title="Spam classification, recurrent network",
    source=_PRACTICE,
    protocol="the document names accuracy, has no numbers and does not name its messages",
    label_heading="Model",
    columns=_REPORT_COLUMNS,
    rows=(PublishedRow("RNN", "recurrent_network", "none", _REPORT_METRICS),),
)

IMAGES = PublishedTable(
    task="digits_photo",
    title="Image classification, pretrained convolutional network",
    source=_PRACTICE,
    protocol="the document names accuracy, has no numbers and does not name its images",
    label_heading="Model",
    columns=("Accuracy", "Macro F1", "ROC AUC"),
    rows=(PublishedRow("Pretrained CNN", "pretrained_network", "none", ("accuracy", "f1", "roc_auc")),),
)

#: The tables in the order of the tasks of the suite.
DOCUMENTS = (
    SUBSCRIPTION_MODELS,
    SUBSCRIPTION_NETWORK,
    SUBSCRIPTION_METHODS,
    SEGMENTATION,
    replace(SEGMENTATION, task="customer_segmentation"),
    CHURN,
    SPAM,
    IMAGES,
)
