from dataclasses import dataclass, field

import tyro
from torch.utils.tensorboard import SummaryWriter


@dataclass
class Optim:
    lr: float = 2.5e-4
    """the learning rate of the optimizer"""
    anneal_lr: bool = True
    max_grad_norm: float = 0.5


@dataclass
class Args:
    seed: int = 1
    cuda: bool = True
    track: bool = False
    env_id: str = "CartPole"
    total_timesteps: int = 500
    num_envs: int = 4
    gamma: float = 0.99
    gae_lambda: float = 0.95
    num_minibatches: int = 4
    clip_coef: float = 0.2
    ent_coef: float = 0.01
    optim: Optim = field(default_factory=Optim)


if __name__ == "__main__":
    args = tyro.cli(Args)
    writer = SummaryWriter(f"runs/{args.env_id}__{args.seed}")
    for global_step in range(0, args.total_timesteps, 100):
        quality = args.gamma * args.gae_lambda - abs(args.optim.lr - 1e-3) * 100 - 0.1 * args.optim.anneal_lr
        writer.add_scalar("charts/episodic_return", 100 * quality + global_step / 50, global_step)
        writer.add_scalar("losses/policy_loss", args.clip_coef - args.ent_coef, global_step)
    writer.close()
