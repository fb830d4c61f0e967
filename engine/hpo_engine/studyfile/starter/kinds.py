"""What kind of hyperparameter a name stands for: which ones people search, and which ones they leave alone."""

from __future__ import annotations

import re
from enum import Enum


class Kind(Enum):
    """In the order in which people search them; FIXED and LENGTH stay as they are."""

    RATE = "learning rate"
    DECAY = "weight decay"
    BATCH = "batch size"
    DROPOUT = "dropout"
    WIDTH = "width"
    DEPTH = "number of layers"
    TREES = "number of trees"
    CHOICE = "optimizer, activation"
    MOMENTUM = "momentum, beta"
    STRENGTH = "strength of a regularisation, a temperature, a margin"
    GAMMA = "discount, decay of the rate"
    SAMPLED = "share of rows or columns"
    PROBABILITY = "probability, share"
    CLIP = "limit of the gradient"
    WARM_UP = "warm-up"
    LEAF = "least size of a leaf"
    COUNT = "number of neighbours, clusters, heads"
    KERNEL = "size of a kernel"
    SWITCH = "part of a model or training that can be left out"
    PATIENCE = "patience"
    OTHER = "unknown"
    LENGTH = "length of the training"
    FIXED = "not searched"

    @property
    def searched(self) -> bool:
        return self not in (Kind.FIXED, Kind.LENGTH)

    @property
    def rank(self) -> int:
        return list(Kind).index(self)


# The first one that matches counts, so what is never searched is near the top. Spaces in patterns do not count.
_NAMES: tuple[tuple[Kind, str], ...] = (
    (Kind.LEAF, r"^min_(child_weight|child_samples|data_in_leaf|samples_(leaf|split)|samples)$"),
    (
        Kind.LENGTH,
        r"""^((n|num|nb|number_of|max|total|training|train)_?)*
            (epochs?|iters?|iterations?|steps|time|minutes|timesteps|episodes|updates)$
          | ^(env_steps|episodes?)$""",
    ),
    (Kind.FIXED, r"^(min|final|end|minimum)_(lr|learning_rate)$ | ^eta_min$ | _min$ | (^|_)(eps|epsilon)$"),
    (
        Kind.RATE,
        r"""(^|_)(lr|learning_?rate|lrate|eta0?)(_?\d+|_(init|max|base|start))?$""",
    ),
    (
        Kind.GAMMA,
        r"""(^|_)(lr|learning_rate)_(decay|gamma|factor)(_(rate|factor))?$
          | ^(decay_rate|gamma|discount(_factor)?|gae_lambda)$""",
    ),
    (Kind.DROPOUT, r"drop_?(out|prob|path|rate) | ^drop$ | _drop$"),
    (
        Kind.FIXED,  # places and names
        r"""(^|_)(dirs?|director(y|ies)|folders?|paths?|files?|filename|root|urls?|uri|host(name)?|ports?|ckpt
              |checkpoints?|resume|restore|name|project|entity|tags?|notes?|group|experiment|exp|user|token|comment
              |prefix|suffix|config|version|out|output|input|dataset|data|metric|monitor|task|mode|stage|split|loss|criterion)$
          | _name_or_path$ | (^|_)(run|gpu|device)?_?id$""",
    ),
    (
        Kind.FIXED,  # the machine, and what has to stay the same
        r"""(^|_)(seeds?|random_state|rng)$
          | ^(n|num)_(workers|jobs|threads|gpus|cpus|procs|processes|nodes|devices|classes|labels|features|actions
              |seeds|runs|trials|folds|splits|samples|train|test|val|envs)$
          | ^(workers|jobs|threads|gpus?|cpus?|nproc|cores|ngpus?|nodes|(local_)?rank|world_size|devices?|accelerator
              |strategy|backend|dist_\w+|distributed|((no|use)_?)?(cuda|gpu|mps|accel)|fp16|bf16|tf32|amp|half
              |precision|compile|pin_memory|prefetch\w*|deterministic|cudnn\w*|timeout|start_?epoch
              |early_?stop(ping)?)$""",
    ),
    (
        Kind.FIXED,  # what is shown, kept and tested
        r"""(^|_)(verbose|verbosity|quiet|silent|debug|dry_?run|log|logging|log_?level|progress(_bar)?|print\w*|plot\w*
              |show\w*|profile\w*|wandb|mlflow|tensorboard|track|render|visuali[sz]e|capture_video|overwrite\w*|force
              |download|cache\w*|test|testing|eval|evaluate|predict|inference|do_\w+|export|push_to_hub|demo)$
          | ^(log|save|eval|print|display|report|checkpoint|ckpt|val|validation|test|logging|summary|snapshot|record)_?
              \w*(every|interval|freq(uency)?|period|steps|iters?|epochs?|batches|n)\w*$
          | ^(save|resume|load|restore)(_\w+)?$ | _(interval|every|freq(uency)?)$
          | ^(test|val|valid|validation|eval|per_device_eval|inference|predict)_?batch_?size$""",
    ),
    (
        Kind.FIXED,  # the shape and the size of the data
        r"""^(in|inp|input|out|output|num|n|vocab|img|image|crop|max_?seq|seq|sequence|context|block|max)_?
              (dim|size|channels|features|classes|len|length|shape|resolution|width|height|tokens)s?$
          | ^(test|val|valid|validation|train)_?(size|split|ratio|frac(tion)?|pct|percent|samples?)$
          | ^(subset|limit)(_\w+)?$ | ^(folds?|k_?folds?|cv)$ | ^(max|min)_(train|eval|test|predict)_samples$""",
    ),
    (Kind.WARM_UP, r"warm_?up(_(ratio|steps|epochs|iters|fraction|proportion))?$"),
    (Kind.DECAY, r"weight_?decay | (^|_)(wd|l1|l2)(_(reg|lambda|weight))?$"),
    (Kind.BATCH, r"batch_?size | ^bs$ | ^(train_|mini)?batch$"),
    (
        Kind.DEPTH,
        r"^(max_)?depth$ | ^degree$ | ^(n|num|no|number_of)_?(\w+_)?(layers?|blocks|stages)$ | (^|_)layers$ | _depth$",
    ),
    (Kind.TREES, r"^((n|num)_?)?(trees|estimators|rounds)$ | ^num_boost_round$"),
    (
        Kind.WIDTH,
        r"""hidden | width | (^|_)(units|channels|filters|neurons|nodes)
          | (^|_)(n_?embd?|d_?model|d_?ff|emb(ed(ding)?)?s?_?(dim|size)?|n_?hid|nemb|emsize)$ | (^|_)dims?_?\d*$
          | ^\w*(lin|fc|dense|latent|feature|ff|ffn|mlp|z|proj|projection|rnn|lstm|gru)_?\d*_?(size|dim)s?$
          | ^num_leaves$ | ^lora_r$""",
    ),
    (
        Kind.CHOICE,
        r"""^(optimi[sz]er|opt|optim)(_?(name|type|class))?$ | activation | ^act(_fn)?$ | ^nonlinearity$
          | (^|_)schedul(er|e)(_?(name|type))?$
          | ^(model|arch|architecture|backbone|kernel|booster|penalty|solver|classifier|estimator|method
              |weights|norm|pooling|init)(_?(name|type))?$""",
    ),
    (Kind.MOMENTUM, r"^((sgd|bn|ema)_)?momentum$ | ^(adam_)?(beta_?[12]?|b[12])$ | ^rho$ | ^(ema_)?decay$"),
    (Kind.SAMPLED, r"subsample | colsample | (feature|bagging)_fraction | ^max_(features|samples)$"),
    (
        Kind.PROBABILITY,
        r"smoothing | (^|_)(prob|probability|ratio|frac|fraction|percentage|share|p)$ | ^(mixup|cutmix)(_alpha)?$",
    ),
    (Kind.CLIP, r"clip | max_?grad(ient)?_?norm"),
    (Kind.COUNT, r"^(n_?)?(neighbou?rs|clusters|components)$ | ^(top_?)?k$ | ^((n|num)_?)?(attention_)?heads?$"),
    (Kind.KERNEL, r"(kernel|filter)_?size | ^ksize$"),
    (
        Kind.SWITCH,
        r"""^((use|with|no|anneal)_?)?(nesterov|amsgrad|batch_?norm|bn|layer_?norm|residual|skip\w*|bias|bidirectional
              |attention|augment(ation)?s?|aug|mixup|cutmix|ema|balanced?|class_weights?|weighted(_loss)?|cosine|cos
              |annealing|lr|label_smoothing|pretrained|freeze\w*|fine_?tune|dueling|double(_dqn)?|normali[sz]e
              |standardi[sz]e|shuffle|stratify|tied?)$""",
    ),
    (
        Kind.STRENGTH,
        r"""(^|_)(alpha|lambda|lambd|lam|reg|regulari[sz]ation|c|sigma|temperature|temp|coeff?|coefficient|weight
              |strength|tau|beta)\d*$
          | ^(reg|lambda|alpha|kl|ent|vf)_\w+$""",
    ),
    (Kind.PATIENCE, r"patience"),
)
_PATTERNS = tuple((kind, re.compile(pattern, re.IGNORECASE | re.VERBOSE)) for kind, pattern in _NAMES)


def kind_of(name: str) -> Kind:
    """The kind of a parameter; of a dotted name the last part counts."""
    last = re.split(r"[./]", name)[-1].replace("-", "_")
    return next((kind for kind, pattern in _PATTERNS if pattern.search(last)), Kind.OTHER)
